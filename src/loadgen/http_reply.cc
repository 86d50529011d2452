#include "loadgen/http_reply.h"

#include <algorithm>
#include <charconv>

namespace tutti::loadgen {

namespace {

constexpr size_t kMaxHead = 64 << 10;
constexpr size_t kMaxLine = 4 << 10;  // of chunk framing

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
    text.remove_prefix(1);
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) {
    text.remove_suffix(1);
  }
  return text;
}

template <class T>
bool parse_number(std::string_view text, T& out, int base) {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return ec == std::errc() && end == text.data() + text.size() && out >= 0;
}

Status malformed(std::string_view what) {
  return error(StatusCode::kCorrupt, "malformed HTTP response: {}", what);
}

}  // namespace

void HttpReply::reset() {
  *this = HttpReply();
}

bool HttpReply::take_line(std::string_view& bytes, std::string_view& line) {
  const size_t end = bytes.find('\n');
  head_ += bytes.substr(0, end);
  if (end == std::string_view::npos) {
    bytes = {};
    return false;
  }
  bytes.remove_prefix(end + 1);
  line = trim(head_);
  return true;
}

Status HttpReply::feed(std::string_view bytes, const OnBody& on_body, size_t& used) {
  const size_t all = bytes.size();
  begun_ = begun_ || all > 0;
  while (!bytes.empty() && state_ != State::kComplete) {
    std::string_view line;
    switch (state_) {
      case State::kHead: {
        const size_t before = head_.size();
        head_ += bytes;
        // The end may lie across the border of two pieces.
        const size_t from = before > 3 ? before - 3 : 0;
        const size_t end = head_.find("\r\n\r\n", from);
        if (end == std::string::npos) {
          bytes = {};
          if (head_.size() > kMaxHead) {
            return malformed("the head is over 64 KiB");
          }
          break;
        }
        bytes.remove_prefix(end + 4 - before);
        head_.resize(end);
        TUTTI_RETURN_IF_ERROR(take_head());
        head_.clear();
        break;
      }
      case State::kBody:
      case State::kChunkData: {
        const bool bounded = framing_ != Framing::kUntilClose;
        const std::string_view piece =
            bounded ? bytes.substr(0, static_cast<size_t>(left_)) : bytes;
        on_body(piece);
        bytes.remove_prefix(piece.size());
        if (bounded) {
          left_ -= static_cast<int64_t>(piece.size());
          if (left_ == 0) {
            state_ = state_ == State::kBody ? State::kComplete : State::kChunkEnd;
          }
        }
        break;
      }
      case State::kChunkSize:
      case State::kChunkEnd:
      case State::kTrailer:
        if (!take_line(bytes, line)) {
          if (head_.size() > kMaxLine) {
            return malformed("a line of chunk framing is over 4 KiB");
          }
          break;
        }
        if (state_ == State::kChunkSize) {
          TUTTI_RETURN_IF_ERROR(take_chunk_size(line));
        } else if (state_ == State::kChunkEnd) {
          if (!line.empty()) {
            return malformed("a chunk is longer than its size");
          }
          state_ = State::kChunkSize;
        } else if (line.empty()) {
          state_ = State::kComplete;
        }
        head_.clear();
        break;
      case State::kComplete:
        break;
    }
  }
  used = all - bytes.size();
  return ok_status();
}

Status HttpReply::take_chunk_size(std::string_view line) {
  const std::string_view digits = trim(line.substr(0, line.find(';')));
  if (!parse_number(digits, left_, 16)) {
    return malformed("chunk size is no hexadecimal number");
  }
  state_ = left_ == 0 ? State::kTrailer : State::kChunkData;
  return ok_status();
}

Status HttpReply::take_head() {
  std::string_view rest = head_;
  const auto next_line = [&rest] {
    const size_t end = rest.find("\r\n");
    const std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 2);
    return line;
  };
  const std::string_view status_line = next_line();
  if (!status_line.starts_with("HTTP/1.") || status_line.size() < 12 ||
      !parse_number(status_line.substr(9, 3), status_, 10)) {
    return malformed("no HTTP/1.x status line; is this an HTTP server?");
  }
  keep_alive_ = status_line[7] != '0';
  framing_ = Framing::kUntilClose;
  left_ = 0;
  while (!rest.empty()) {
    TUTTI_RETURN_IF_ERROR(take_header(next_line()));
  }
  if (status_ >= 100 && status_ < 200) {
    state_ = State::kHead;
    return ok_status();
  }
  if (status_ == 204 || status_ == 304) {
    framing_ = Framing::kNone;
  }
  switch (framing_) {
    case Framing::kNone:
      state_ = State::kComplete;
      break;
    case Framing::kLength:
      state_ = left_ == 0 ? State::kComplete : State::kBody;
      break;
    case Framing::kChunked:
      state_ = State::kChunkSize;
      break;
    case Framing::kUntilClose:
      state_ = State::kBody;
      break;
  }
  return ok_status();
}

Status HttpReply::take_header(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) {
    return malformed("a header without a colon");
  }
  const std::string name = lower(line.substr(0, colon));
  const std::string_view value = trim(line.substr(colon + 1));
  if (name == "content-length" && framing_ != Framing::kChunked) {
    if (!parse_number(value, left_, 10)) {
      return malformed("Content-Length is no number");
    }
    framing_ = Framing::kLength;
  } else if (name == "transfer-encoding") {
    if (lower(value) != "chunked") {
      return malformed("a Transfer-Encoding other than chunked");
    }
    framing_ = Framing::kChunked;
  } else if (name == "connection") {
    keep_alive_ = lower(value) == "close" ? false : keep_alive_ || lower(value) == "keep-alive";
  } else if (name == "content-type") {
    event_stream_ = lower(value).starts_with("text/event-stream");
  } else if (name == "retry-after") {
    retry_after_ = value;
  }
  return ok_status();
}

bool HttpReply::end_of_input() {
  if (state_ == State::kBody && framing_ == Framing::kUntilClose) {
    state_ = State::kComplete;
  }
  return complete();
}

}  // namespace tutti::loadgen
