#include "http/response_parser.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

namespace tutti::http {

namespace {

namespace beast = boost::beast;
using boost::system::error_code;

constexpr uint32_t kMaxHead = 64 << 10;
constexpr size_t kMaxLine = 4 << 10;  // of chunk framing
constexpr size_t kLastChunk = 5;      // "0", two line ends

std::string_view view(beast::string_view text) {
  return {text.data(), text.size()};
}

bool same_name(std::string_view a, std::string_view b) {
  return beast::iequals({a.data(), a.size()}, {b.data(), b.size()});
}

Status malformed(std::string_view what) {
  return error(StatusCode::kCorrupt, "malformed HTTP response: {}", what);
}

Status malformed(const error_code& ec) {
  if (ec == beast::http::error::bad_version || ec == beast::http::error::bad_status) {
    return malformed("no HTTP/1.x status line; is this an HTTP server?");
  }
  if (ec == beast::http::error::header_limit) {
    return malformed("the head is over 64 KiB");
  }
  return malformed(ec.message());
}

/// Beast's parser with the fields kept and the body passed on, never copied.
class Parser final : public beast::http::basic_parser<false> {
 public:
  Parser() {
    eager(true);
    header_limit(kMaxHead);
    body_limit(std::numeric_limits<std::uint64_t>::max());  // whoever takes the body bounds it
  }

  int status = 0;
  std::vector<std::pair<std::string, std::string>> fields;
  const ResponseParser::OnBody* on_body = nullptr;

 private:
  void on_request_impl(
      beast::http::verb, beast::string_view, beast::string_view, int, error_code&) override {}

  void on_response_impl(int code, beast::string_view, int, error_code& ec) override {
    ec = {};
    status = code;
  }

  void on_field_impl(beast::http::field,
                     beast::string_view name,
                     beast::string_view value,
                     error_code& ec) override {
    ec = {};
    fields.emplace_back(view(name), view(value));
  }

  // Beast ignores codings that it does not know; the bytes would be taken for the content.
  void on_header_impl(error_code& ec) override {
    ec = {};
    for (const auto& [name, value] : fields) {
      if (same_name(name, "Transfer-Encoding") && !same_name(value, "chunked")) {
        ec = beast::http::error::bad_transfer_encoding;
      }
    }
  }

  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code& ec) override {
    ec = {};
  }

  std::size_t on_body_impl(beast::string_view body, error_code& ec) override {
    ec = {};
    (*on_body)(view(body));
    return body.size();
  }

  void on_chunk_header_impl(std::uint64_t, beast::string_view, error_code& ec) override { ec = {}; }

  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view body, error_code& ec) override {
    ec = {};
    (*on_body)(view(body));
    return body.size();
  }

  void on_finish_impl(error_code& ec) override { ec = {}; }
};

}  // namespace

struct ResponseParser::Impl {
  std::optional<Parser> parser{std::in_place};
  std::string pending;  // of a head, or of a line of chunk framing, that is not complete
  bool begun = false;

  bool interim() const { return parser->is_done() && parser->status / 100 == 1; }
};

ResponseParser::ResponseParser() : impl_(std::make_unique<Impl>()) {}

ResponseParser::~ResponseParser() = default;
ResponseParser::ResponseParser(ResponseParser&&) noexcept = default;
ResponseParser& ResponseParser::operator=(ResponseParser&&) noexcept = default;

void ResponseParser::reset() {
  impl_->parser.emplace();
  impl_->pending.clear();
  impl_->begun = false;
}

Status ResponseParser::feed(std::string_view bytes, const OnBody& on_body, size_t& used) {
  Impl& impl = *impl_;
  impl.begun = impl.begun || !bytes.empty();
  const size_t before = impl.pending.size();
  if (before > 0) {
    impl.pending += bytes;
  }
  const std::string_view input = before > 0 ? std::string_view(impl.pending) : bytes;
  // Beast asserts that a last chunk of which it has seen the first line is there as a whole.
  if (before > 0 && has_head() && input.front() == '0' && input.size() < kLastChunk) {
    used = bytes.size();
    return ok_status();
  }
  size_t taken = 0;
  while (taken < input.size() && !complete()) {
    impl.parser->on_body = &on_body;
    error_code ec;
    const size_t count =
        impl.parser->put(boost::asio::const_buffer(input.data() + taken, input.size() - taken), ec);
    taken += count;
    if (ec == beast::http::error::need_more) {
      break;
    }
    if (ec) {
      return malformed(ec);
    }
    if (impl.interim()) {
      impl.parser.emplace();
    }
  }
  if (complete()) {
    used = taken - before;  // what was pending did not complete it
    impl.pending.clear();
    return ok_status();
  }
  used = bytes.size();
  if (before > 0) {
    impl.pending.erase(0, taken);
  } else {
    impl.pending.assign(input.substr(taken));
  }
  if (has_head() && impl.pending.size() > kMaxLine) {
    return malformed("a line of chunk framing is over 4 KiB");
  }
  return ok_status();
}

bool ResponseParser::end_of_input() {
  if (has_head() && !complete()) {
    error_code ec;
    impl_->parser->put_eof(ec);  // an error: it ended too early, and is not complete
  }
  return complete();
}

bool ResponseParser::complete() const {
  return impl_->parser->is_done() && !impl_->interim();
}

bool ResponseParser::begun() const {
  return impl_->begun;
}

bool ResponseParser::has_head() const {
  return impl_->parser->is_header_done();
}

int ResponseParser::status() const {
  return impl_->parser->status;
}

bool ResponseParser::keep_alive() const {
  return impl_->parser->keep_alive();
}

std::string_view ResponseParser::field(std::string_view name) const {
  const auto& fields = impl_->parser->fields;
  const auto it = std::find_if(fields.begin(), fields.end(), [&](const auto& field) {
    return same_name(field.first, name);
  });
  return it == fields.end() ? std::string_view() : std::string_view(it->second);
}

std::span<const std::pair<std::string, std::string>> ResponseParser::fields() const {
  return impl_->parser->fields;
}

bool ResponseParser::event_stream() const {
  constexpr std::string_view kType = "text/event-stream";
  return same_name(field("Content-Type").substr(0, kType.size()), kType);
}

}  // namespace tutti::http
