"""An estimate of a prompt is rather too large than too small, and not beyond measure."""

import base64
import json

import pytest

from agentjobs.proxy.apis.estimate import IMAGE_TOKENS, REMOTE_TOKENS, prompt_tokens


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
    assert prompt_tokens(chat({"type": "text", "text": text})) >= counted


def test_english_is_not_taken_for_twice_what_it_is():
    text = "The quick brown fox jumps over the lazy dog. " * 200  # ten tokens each

    assert 2000 <= prompt_tokens(chat({"type": "text", "text": text})) <= 3200


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
def test_a_picture_counts_as_one_however_large(image):
    assert IMAGE_TOKENS <= prompt_tokens(chat(image)) < IMAGE_TOKENS + 100


def test_two_files_of_different_kinds_keep_their_own():
    sound = {"inlineData": {"data": data(256_000), "mimeType": "audio/mp3"}}
    image = {"inlineData": {"data": data(256_000), "mimeType": "image/png"}}

    assert prompt_tokens(chat(image, sound, image)) < 2 * IMAGE_TOKENS + 256_000 // 25 + 200


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
    assert at_least <= prompt_tokens(chat(file)) < at_least * 1.1


@pytest.mark.parametrize(
    "part",
    [
        {"fileData": {"fileUri": "https://example.test/files/1"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"cachedContent": "cachedContents/1"},
        {"previous_response_id": "resp_1"},
    ],
)
def test_what_is_only_named_counts_as_something_large(part):
    assert REMOTE_TOKENS <= prompt_tokens(chat(part)) < REMOTE_TOKENS + 100


@pytest.mark.parametrize(
    "text",
    [
        '"file_id":"x"',
        '{"data":"' + "A" * 3000 + '"}',
        '"data:image/png;base64,' + "A" * 3000 + '"',
        '"url":"http://x"',
    ],
)
def test_a_text_that_looks_like_a_file_is_a_text(text):
    whole = chat({"type": "text", "text": text})

    assert prompt_tokens(whole) == -(-len(whole) // 3)


def test_a_tool_that_takes_a_file_is_no_file():
    schema = {"type": "object", "properties": {"file_id": {"type": "string"}, "url": {"type": "string"}}}

    assert prompt_tokens(json.dumps(schema).encode()) < 100
