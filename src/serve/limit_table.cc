#include "serve/limit_table.h"

#include <array>
#include <cmath>

#include <fmt/format.h>

#include "base/check.h"
#include "engine/request_parameters.h"

namespace tutti {

namespace {

using enum LimitRow::Unit;
using H = HttpLimits;
using R = RequestLimits;

constexpr double kMaxBytes = 1 << 30;
constexpr double kMaxCount = 1'000'000;
constexpr double kMaxSeconds = 86'400;

constexpr auto kRows = std::to_array<LimitRow>({
    // clang-format off
    {"max_request_line", "Bytes of a request line", "414", kBytes, &H::request_line_bytes, 64, 1 << 20},
    {"max_header_bytes", "Bytes of a request head, request line included", "431", kBytes, &H::header_bytes, 256, 1 << 20},
    {"max_headers", "Headers of a request", "431", kCount, &H::header_count, 8, 10'000},
    {"max_body", "Bytes of a request body", "413", kBytes, &H::body_bytes, 256, kMaxBytes},
    {"max_ignored_body", "Bytes of a body where none belongs; they are read and dropped", "413", kBytes, &H::ignored_body_bytes, 0, kMaxBytes},
    {"max_chunks", "Chunks of a chunked body", "400", kCount, &H::chunks, 1, 1 << 24},
    {"max_chunk_extensions", "Bytes of all chunk extensions of a body", "400", kBytes, &H::chunk_extension_bytes, 0, 1 << 20},
    {"max_json_depth", "Nesting of arrays and objects in a body", "400", kCount, &H::json_depth, 8, 200},
    {"max_json_values", "Values in a body", "400", kCount, &H::json_values, 16, 1 << 24},
    {"max_json_keys", "Keys of all objects in a body", "400", kCount, &H::json_keys, 16, 1 << 24},
    {"max_json_number", "Characters of a number in a body", "400", kCount, &H::json_number_chars, 16, 1000},
    {"max_connections", "Open connections; above it only ‹max_probes› more, for /health, /ready and /metrics", "503", kCount, &H::connections, 1, kMaxCount},
    {"max_connections_per_address", "Open connections of one address that is not loopback", "503", kCount, &H::connections_per_address, 1, kMaxCount},
    {"max_probes", "Connections above ‹max_connections› that may ask for /health, /ready and /metrics", "503", kCount, &H::probe_connections, 1, 1000},
    {"max_pipelined", "Requests read ahead on a connection while one is answered", "", kCount, &H::pipelined_requests, 1, 1000},
    {"max_pipelined_bytes", "Bytes read ahead on a connection while a request is answered", "", kBytes, &H::pipeline_bytes, 4096, kMaxBytes},
    {"max_requests", "Generation requests under way, streamed or not", "429", kCount, &H::requests, 1, kMaxCount},
    {"max_queue", "Sequences that wait for the model", "429", kCount, &H::waiting, 1, kMaxCount},
    {"prepare_threads", "Threads that parse, template and tokenize requests", "", kCount, &H::prepare_threads, 1, 64},
    {"max_prepare_queue", "Requests that wait for these threads", "429", kCount, &H::prepare_queue, 0, kMaxCount},
    {"stream_buffer", "Bytes of one reply that the client has not taken yet", "cancelled", kBytes, &H::stream_buffer_bytes, 4096, kMaxBytes},
    {"header_timeout", "Seconds from the first to the last byte of a request head", "408", kSeconds, &H::header_timeout, 0.01, kMaxSeconds},
    {"body_idle_timeout", "Seconds without a byte of an unfinished body", "408", kSeconds, &H::body_idle_timeout, 0.01, kMaxSeconds},
    {"min_body_rate", "Bytes per second of the slowest body that is waited for", "408", kBytes, &H::body_bytes_per_second, 1, kMaxBytes},
    {"keep_alive_timeout", "Seconds between two requests of a connection", "closed", kSeconds, &H::keep_alive_timeout, 0.01, kMaxSeconds},
    {"write_stall_timeout", "Seconds without the client taking a byte of its reply", "cancelled", kSeconds, &H::write_stall_timeout, 0.01, kMaxSeconds},
    {"request_timeout", "Seconds of a whole request; its field timeout can only shorten this", "504", kSeconds, &H::request_timeout, 0.01, 30 * kMaxSeconds},
    {"queue_timeout", "Seconds a request may wait for the model to begin", "503", kSeconds, &H::queue_timeout, 0.01, 30 * kMaxSeconds},
    {"drain_timeout", "Seconds for replies under way after SIGTERM", "error event", kSeconds, &H::drain_timeout, 0, kMaxSeconds},
    {"keep_alive_comment", "Seconds of silence in a stream before a comment is sent", "", kSeconds, &H::sse_comment_interval, 0.01, kMaxSeconds},
    {"max_kept_replies", "Streams that are kept without their clients (`X-Tutti-Keep`)", "not kept", kCount, &H::kept_replies, 0, 10'000},
    {"max_kept_bytes", "Bytes of such a stream; beyond them its oldest events go", "", kBytes, &H::kept_reply_bytes, 4096, kMaxBytes},
    {"keep_timeout", "Longest time in seconds for which a stream may be kept", "400", kSeconds, &H::keep_timeout, 1, kMaxSeconds},
    {"linger_timeout", "Seconds for the client to read its last reply before the connection closes", "", kSeconds, &H::linger_timeout, 0.01, kMaxSeconds},
    {"probe_timeout", "Seconds for a connection above ‹max_connections› to send its request", "closed", kSeconds, &H::probe_timeout, 0.01, kMaxSeconds},
    {"accept_pause", "Seconds to wait when no file descriptor is left", "", kSeconds, &H::accept_pause, 0.001, 60},
    {"max_messages", "Messages of a chat", "400", kCount, &R::messages, 1, kMaxCount},
    {"max_stop_strings", "Stop strings of a request", "400", kCount, &R::stop_strings, 0, kMaxStopStrings},
    {"max_stop_bytes", "Bytes of one stop string", "400", kBytes, &R::stop_string_bytes, 1, kMaxStopStringBytes},
    {"max_stop_token_ids", "Stop token ids of a request", "400", kCount, &R::stop_token_ids, 0, kMaxStopTokenIds},
    {"max_logit_bias", "Entries of logit_bias", "400", kCount, &R::logit_bias, 0, kMaxCount},
    {"max_bad_words", "Words of bad_words", "400", kCount, &R::bad_words, 0, kMaxBadWords},
    {"max_bad_word_bytes", "Bytes of one of bad_words", "400", kBytes, &R::bad_word_bytes, 1, kMaxBadWordBytes},
    {"max_prompt_logprobs", "Log-probabilities of prompt tokens in a reply, alternatives included", "400", kCount, &R::prompt_logprobs, 0, 1 << 24},
    {"max_prompts", "Prompts of one completion request", "400", kCount, &R::prompts, 1, kMaxCount},
    {"max_choices", "Prompts times n of a request", "400", kCount, &R::choices, 1, kMaxCount},
    // clang-format on
});

template <class T>
constexpr bool kIsTime = std::is_same_v<T, std::chrono::milliseconds>;

// Calls action(field) with the field that the row is about.
template <class Http, class Request, class Action>
void visit_field(const LimitRow& row, Http& http, Request& request, const Action& action) {
  std::visit(
      [&](auto member) {
        if constexpr (std::is_same_v<decltype(member), int32_t RequestLimits::*>) {
          action(request.*member);
        } else {
          action(http.*member);
        }
      },
      row.member);
}

}  // namespace

std::span<const LimitRow> limit_rows() {
  return kRows;
}

double limit_value(const LimitRow& row, const HttpLimits& http, const RequestLimits& request) {
  double value = 0;
  visit_field(row, http, request, [&](const auto& field) {
    if constexpr (kIsTime<std::decay_t<decltype(field)>>) {
      value = std::chrono::duration<double>(field).count();
    } else {
      value = static_cast<double>(field);
    }
  });
  return value;
}

void set_limit(const LimitRow& row, double value, HttpLimits& http, RequestLimits& request) {
  TUTTI_CHECK(value >= row.min && value <= row.max);
  visit_field(row, http, request, [&](auto& field) {
    using Field = std::decay_t<decltype(field)>;
    if constexpr (kIsTime<Field>) {
      field = std::chrono::milliseconds(std::llround(value * 1000));
    } else {
      field = static_cast<Field>(std::llround(value));
    }
  });
}

std::string format_limit(double value) {
  return fmt::format("{}", value);
}

}  // namespace tutti
