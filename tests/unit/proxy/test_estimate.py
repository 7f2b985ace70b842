"""An estimate of a prompt is rather too large than too small, and not beyond measure."""

import base64
import json

import pytest

from agentjobs.proxy.apis.estimate import IMAGE_TOKENS, REMOTE_TOKENS, WINDOW_TOKENS, prompt


def chat(*parts):
    return json.dumps({"messages": [{"role": "user", "content": list(parts)}]}, ensure_ascii=False).encode()


def data(size):
    return base64.b64encode(bytes(range(256)) * (size // 256)).decode()


# Counts by the tokenizers of OpenAI's models, from their own examples.
@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("tiktoken is great!", 6),
        ("antidisestablishmentarianism", 6),
        ("2 + 2 = 4", 7),
        ("お誕生日おめでとう", 9),
    ],
)
def test_a_text_has_no_more_tokens_than_estimated(text, counted):
    assert prompt(chat({"type": "text", "text": text})).tokens >= counted


def test_english_text_is_estimated_at_less_than_twice_its_tokens():
    text = "The quick brown fox jumps over the lazy dog. " * 200  # ten tokens each

    assert 2000 <= prompt(chat({"type": "text", "text": text})).tokens <= 3200


@pytest.mark.parametrize(
    "image",
    [
        {"inlineData": {"mimeType": "image/png", "data": data(3_000_000)}},
        {"inlineData": {"data": data(3_000_000), "mimeType": "image/png"}},
        {"inline_data": {"mime_type": "image/jpeg", "data": data(3_000_000)}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data(3_000_000)}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data(3_000_000)}"}},
        {"type": "input_image", "image_url": f"data:image/webp;base64,{data(3_000_000)}"},
        {"type": "image_url", "image_url": {"url": "https://example.test/a.png"}},
        {"type": "input_image", "image_url": "https://example.test/a.png"},
    ],
)
def test_a_picture_counts_the_same_at_any_size(image):
    assert IMAGE_TOKENS <= prompt(chat(image)).tokens < IMAGE_TOKENS + 100


def test_files_of_different_kinds_are_estimated_separately():
    sound = {"inlineData": {"data": data(256_000), "mimeType": "audio/mp3"}}
    image = {"inlineData": {"data": data(256_000), "mimeType": "image/png"}}

    assert prompt(chat(image, sound, image)).tokens < 2 * IMAGE_TOKENS + 256_000 // 25 + 200


@pytest.mark.parametrize(
    ("file", "at_least"),
    [
        ({"type": "document", "source": {"media_type": "application/pdf", "data": data(300_032)}}, 100_000),
        ({"inlineData": {"mimeType": "audio/wav", "data": data(100_096)}}, 4000),
        ({"type": "input_audio", "input_audio": {"data": data(100_096), "format": "wav"}}, 4000),
        ({"inlineData": {"mimeType": "video/mp4", "data": data(1_000_192)}}, 10_000),
    ],
)
def test_a_file_counts_by_its_size(file, at_least):
    assert at_least <= prompt(chat(file)).tokens < at_least * 1.1


@pytest.mark.parametrize(
    "part",
    [
        {"fileData": {"fileUri": "https://example.test/files/1"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"cachedContent": "cachedContents/1"},
        {"previous_response_id": "resp_1"},
    ],
)
def test_a_file_that_is_only_referenced_counts_as_large(part):
    assert REMOTE_TOKENS <= prompt(chat(part)).tokens < REMOTE_TOKENS + 100


@pytest.mark.parametrize(
    "text",
    [
        '"file_id":"x"',
        '{"data":"' + "A" * 3000 + '"}',
        '"data:image/png;base64,' + "A" * 3000 + '"',
        '"url":"http://x"',
    ],
)
def test_a_text_that_looks_like_a_file_counts_as_text(text):
    whole = chat({"type": "text", "text": text})

    assert prompt(whole).tokens == -(-len(whole) // 3)


def test_a_tool_with_a_file_parameter_does_not_count_as_a_file():
    schema = {"type": "object", "properties": {"file_id": {"type": "string"}, "url": {"type": "string"}}}

    assert prompt(json.dumps(schema).encode()).tokens < 100


OPAQUE = [
    {"fileData": {"fileUri": "https://example.test/a-film"}},
    {"fileData": {"fileUr\\u0069": "https://example.test/a-film"}},
    {"cachedContent": "cachedContents/1"},
    {"previous_response_id": "resp_1"},
    {"type": "document", "source": {"type": "url", "url": "https://example.test/a.pdf"}},
    {"type": "document", "source": {"media_type": "application/pdf", "data": data(2048)}},
    {"inlineData": {"mimeType": "audio/ogg", "data": data(2048)}},
]


@pytest.mark.parametrize("part", OPAQUE)
def test_input_of_unknown_size_counts_as_the_models_whole_context(part):
    assert prompt(chat(part).replace(b"\\\\u", b"\\u")).most >= WINDOW_TOKENS


@pytest.mark.parametrize(
    "part",
    [
        {"inlineData": {"mimeType": "image/png", "data": data(2048)}},
        {"type": "image_url", "image_url": {"url": "https://example.test/a.png"}},
        {"type": "text", "text": 'a "fileUri": "https://x" and "\\u0041": 1'},
    ],
)
def test_pictures_and_texts_are_measured(part):
    size = prompt(chat(part))

    assert size.most == size.tokens
