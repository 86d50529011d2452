#include "serve/chunked_decoder.h"

#include <algorithm>

#include "serve/http_head.h"

namespace tutti {

ChunkedDecoder::State ChunkedDecoder::fail(int http_status, std::string message) {
  error_ = http_error(http_status, std::move(message));
  return State::kError;
}

bool ChunkedDecoder::size_digit(char c) {
  int value = -1;
  if (c >= '0' && c <= '9') {
    value = c - '0';
  } else if (c >= 'a' && c <= 'f') {
    value = c - 'a' + 10;
  } else if (c >= 'A' && c <= 'F') {
    value = c - 'A' + 10;
  }
  if (value < 0 || digits_ == 16) {
    return false;
  }
  size_ = size_ * 16 + static_cast<uint64_t>(value);
  ++digits_;
  return true;
}

bool ChunkedDecoder::end_size(char c) {
  const bool space = c == ' ' || c == '\t';
  if (digits_ == 0 || (c != '\r' && c != ';' && !space)) {
    return false;
  }
  step_ = c == '\r' ? Step::kSizeLf : space ? Step::kSizeSpace : Step::kExtension;
  return true;
}

bool ChunkedDecoder::extension_byte(char c) {
  if (step_ == Step::kSizeSpace) {
    if (c == ';') {
      step_ = Step::kExtension;
    } else if (c != ' ' && c != '\t') {
      return false;
    }
  } else if (c == '\r') {
    step_ = Step::kSizeLf;
    return true;
  }
  return c != '\n' && ++extension_bytes_ <= limits_.chunk_extension_bytes;
}

// A trailer is a header in syntax and in its limits.
bool ChunkedDecoder::trailer_byte(char c) {
  if (++trailer_bytes_ > limits_.header_bytes) {
    (void)fail(431, fmt::format("trailers over {} bytes", limits_.header_bytes));
    return false;
  }
  switch (step_) {
    case Step::kLine:
      if (c == '\r') {
        step_ = Step::kEndLf;
        return true;
      }
      if (++trailers_ > limits_.header_count) {
        (void)fail(431, fmt::format("more than {} trailers", limits_.header_count));
        return false;
      }
      step_ = Step::kTrailerName;
      return is_token_char(c);
    case Step::kTrailerName:
      step_ = c == ':' ? Step::kTrailerValue : step_;
      return c == ':' || is_token_char(c);
    case Step::kTrailerValue: {
      const auto byte = static_cast<unsigned char>(c);
      step_ = c == '\r' ? Step::kTrailerLf : step_;
      return c == '\r' || c == '\t' || (byte >= 0x20 && byte != 0x7f);
    }
    default:
      step_ = Step::kLine;
      return c == '\n';
  }
}

// One byte that is not chunk data. False: a syntax error, or error_ is set.
bool ChunkedDecoder::framing_byte(char c, const std::string& body) {
  switch (step_) {
    case Step::kSize:
      return size_digit(c) || end_size(c);
    case Step::kSizeSpace:
    case Step::kExtension:
      return extension_byte(c);
    case Step::kSizeLf:
      if (c != '\n') {
        return false;
      }
      if (size_ > static_cast<uint64_t>(body_limit_) - body.size()) {
        (void)fail(413, fmt::format("request body over {} bytes", body_limit_));
        return false;
      }
      step_ = size_ == 0 ? Step::kLine : Step::kData;
      return size_ == 0 || ++chunks_ <= limits_.chunks;
    case Step::kDataCr:
      step_ = Step::kDataLf;
      return c == '\r';
    case Step::kDataLf:
      step_ = Step::kSize;
      size_ = 0;
      digits_ = 0;
      return c == '\n';
    case Step::kLine:
    case Step::kTrailerName:
    case Step::kTrailerValue:
    case Step::kTrailerLf:
      return trailer_byte(c);
    case Step::kEndLf:
      step_ = Step::kDone;
      return c == '\n';
    case Step::kData:
    case Step::kDone:
      break;
  }
  return false;
}

ChunkedDecoder::State ChunkedDecoder::decode(std::string_view input,
                                             std::string& body,
                                             size_t& used) {
  used = 0;
  while (used < input.size() && step_ != Step::kDone) {
    if (step_ == Step::kData) {
      const size_t take = std::min<uint64_t>(size_, input.size() - used);
      body.append(input.substr(used, take));
      used += take;
      size_ -= take;
      if (size_ == 0) {
        step_ = Step::kDataCr;
      }
      continue;
    }
    if (!framing_byte(input[used], body)) {
      if (error_.message.empty()) {
        return fail(400, "malformed chunked body");
      }
      return State::kError;
    }
    ++used;
  }
  return step_ == Step::kDone ? State::kComplete : State::kNeedMore;
}

}  // namespace tutti
