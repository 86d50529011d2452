// Chunked request bodies (RFC 9112, 7.1) from bytes, without I/O. Strict: CRLF only, at most 16 hex
// digits, no sign; a body is bounded before its bytes are kept. Extensions and trailers are read by
// their syntax and dropped: nothing here needs one, and a trailer must never pass for a header.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "serve/http_limits.h"
#include "serve/http_message.h"

namespace tutti {

class ChunkedDecoder {
 public:
  enum class State { kNeedMore, kComplete, kError };

  ChunkedDecoder(const HttpLimits& limits, int64_t body_limit)
      : limits_(limits), body_limit_(body_limit) {}

  /// Takes bytes from `input`, appends data to `body`; `used` says how many bytes were taken. Bytes
  /// after the last chunk are not taken.
  State decode(std::string_view input, std::string& body, size_t& used);

  const ApiError& error() const { return error_; }

 private:
  enum class Step {
    kSize,
    kSizeSpace,  ///< before the ';' of an extension (BWS: bad, but to be accepted)
    kExtension,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kLine,  ///< at the start of a trailer or of the empty line that ends all
    kTrailerName,
    kTrailerValue,
    kTrailerLf,
    kEndLf,
    kDone
  };

  State fail(int http_status, std::string message);
  bool size_digit(char c);
  bool end_size(char c);
  bool trailer_byte(char c);
  bool extension_byte(char c);
  bool framing_byte(char c, const std::string& body);

  HttpLimits limits_;
  int64_t body_limit_;
  Step step_ = Step::kSize;
  uint64_t size_ = 0;
  int digits_ = 0;
  int64_t chunks_ = 0;
  int64_t extension_bytes_ = 0;
  int64_t trailer_bytes_ = 0;
  int64_t trailers_ = 0;
  ApiError error_;
};

}  // namespace tutti
