#include "base/status.h"

#include <array>

namespace tutti {

namespace {

// Exit codes follow sysexits.h where it has a matching class, so that scripts can tell them apart.
constexpr std::array<StatusMapping, 16> kMappings{{
    {StatusCode::kOk, "ok", 200, "", 0},
    {StatusCode::kInvalidArgument, "invalid_argument", 400, "invalid_request_error", 64},
    {StatusCode::kContextLength, "context_length_exceeded", 400, "invalid_request_error", 64},
    {StatusCode::kNotFound, "not_found", 404, "invalid_request_error", 66},
    {StatusCode::kUnsupported, "unsupported", 400, "invalid_request_error", 69},
    {StatusCode::kCorrupt, "corrupt", 500, "server_error", 65},
    {StatusCode::kUnauthenticated, "invalid_api_key", 401, "authentication_error", 77},
    {StatusCode::kForbidden, "forbidden", 403, "permission_error", 77},
    {StatusCode::kOutOfMemory, "out_of_memory", 503, "server_error", 71},
    {StatusCode::kOverloaded, "overloaded", 429, "rate_limit_error", 75},
    {StatusCode::kDeadlineExceeded, "deadline_exceeded", 504, "timeout_error", 75},
    {StatusCode::kCancelled, "cancelled", 499, "cancelled", 130},
    {StatusCode::kUnavailable, "unavailable", 503, "server_error", 75},
    {StatusCode::kPayloadTooLarge, "payload_too_large", 413, "invalid_request_error", 64},
    {StatusCode::kDevice, "device_error", 503, "server_error", 71},
    {StatusCode::kInternal, "internal_error", 500, "server_error", 70},
}};

}  // namespace

const StatusMapping& mapping(StatusCode code) {
  for (const StatusMapping& m : kMappings) {
    if (m.code == code) {
      return m;
    }
  }
  return kMappings.back();
}

}  // namespace tutti
