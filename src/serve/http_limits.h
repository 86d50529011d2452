// Every limit of the HTTP server in one place. limit_table.h makes each a flag of `tutti serve`,
// and a test can make it small.
#pragma once
#include <chrono>
#include <cstdint>

namespace tutti {

struct HttpLimits {
  // Request head.
  int64_t request_line_bytes = 8 << 10;  ///< 414 above
  int64_t header_bytes = 32 << 10;       ///< whole head, request line included; 431 above
  int64_t header_count = 100;            ///< 431 above

  // Request body.
  int64_t body_bytes = 32 << 20;            ///< 413 above
  int64_t ignored_body_bytes = 64 << 10;    ///< body of a route that takes none; 413 above
  int64_t chunks = 65536;                   ///< of a chunked body; 400 above
  int64_t chunk_extension_bytes = 256;      ///< of a chunked body, all together; 400 above
  int64_t body_bytes_per_second = 1 << 10;  ///< slowest sender that is waited for; 408 below
  int32_t json_depth = 100;                 ///< 400 above
  int64_t json_values = 2'000'000;          ///< 400 above; room for a long list of token ids
  int64_t json_keys = 100'000;              ///< of all objects together; 400 above
  int64_t json_number_chars = 64;           ///< 400 above

  // Connections.
  int32_t connections = 1024;               ///< only probes are answered above
  int32_t connections_per_address = 128;    ///< same; loopback peers are exempt (local proxies)
  int32_t probe_connections = 8;            ///< above `connections`, for /health and the like
  int32_t pipelined_requests = 8;           ///< read ahead while a request is answered
  int64_t pipeline_bytes = 64 << 10;        ///< same, in bytes
  int64_t stream_buffer_bytes = 256 << 10;  ///< unsent text of one reply; cancelled above

  // Streams that outlive their connection.
  int32_t kept_replies = 64;
  int64_t kept_reply_bytes = 1 << 20;               ///< of the events of each; the oldest go
  std::chrono::milliseconds keep_timeout{300'000};  ///< the longest that may be asked for

  // Work.
  int32_t requests = 4096;  ///< generation requests under way, streamed or not; 429 above
  int32_t waiting = 512;    ///< sequences that wait for the model; the engine refuses more with 429
  // Worker threads that parse, template and tokenize, so that the io thread never waits for them.
  int32_t prepare_threads = 2;
  int32_t prepare_queue = 512;  ///< 429 above

  // Times.
  std::chrono::milliseconds header_timeout{10'000};       ///< first to last byte of a head; 408
  std::chrono::milliseconds body_idle_timeout{15'000};    ///< between two reads of a body; 408
  std::chrono::milliseconds keep_alive_timeout{75'000};   ///< between two requests; closed silently
  std::chrono::milliseconds write_stall_timeout{30'000};  ///< client takes no byte; cancelled
  std::chrono::milliseconds request_timeout{3'600'000};   ///< of a whole request; 504
  std::chrono::milliseconds queue_timeout{60'000};        ///< waiting for the model; 503
  std::chrono::milliseconds drain_timeout{30'000};        ///< for replies under way at shutdown
  std::chrono::milliseconds sse_comment_interval{15'000};  ///< silence of a stream before ": "
  std::chrono::milliseconds linger_timeout{2'000};         ///< for the client to read a last error
  std::chrono::milliseconds probe_timeout{1'000};  ///< a connection above the limit sends its head
  std::chrono::milliseconds accept_pause{100};     ///< after accept failed (out of descriptors)
};

/// Limits of what one request may ask for.
struct RequestLimits {
  int32_t messages = 4096;
  int32_t tools = 1024;
  int32_t stop_strings = 16;
  int32_t stop_string_bytes = 4096;
  int32_t stop_token_ids = 128;
  int32_t logit_bias = 1024;
  int32_t bad_words = 128;
  int32_t bad_word_bytes = 256;
  int32_t prompt_logprobs = 1 << 18;  ///< tokens x (alternatives + 1) of all prompts x n
  int32_t prompts = 128;
  int32_t choices = 256;  ///< prompts x n
};

}  // namespace tutti
