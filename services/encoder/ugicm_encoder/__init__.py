"""The encoder service: pictures in, streams out, frames forwarded to the decoder."""
