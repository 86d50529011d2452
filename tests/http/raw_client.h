// A client that sends exactly the bytes it is told to and reads replies strictly.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tutti::testing {

struct RawResponse {
  int status = 0;                              ///< 0: no whole reply came
  std::map<std::string, std::string> headers;  ///< lower-case names
  std::string body;
  std::vector<std::string> chunks;  ///< of a chunked body

  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

class RawClient {
 public:
  /// Connects to 127.0.0.1; a small `receive_buffer` makes it a slow reader.
  explicit RawClient(uint16_t port, int receive_buffer = 0);
  /// Makes the socket only; connect() later.
  RawClient();
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connect(uint16_t port);
  /// False if the peer closed.
  bool send(std::string_view bytes);
  /// Reads one reply; `head_only` for replies to HEAD.
  RawResponse read_response(bool head_only = false);
  /// Reads until `text` is among what was read and not consumed; returns and keeps everything.
  std::string read_until(std::string_view text);
  /// Everything until the peer closes (or 5 s pass: nullopt).
  std::optional<std::string> read_to_end();
  /// True if the peer closes within `timeout` without sending anything more.
  bool closed_within(std::chrono::milliseconds timeout);

  /// True if the connection stays open and nothing comes.
  bool silent_for(std::chrono::milliseconds timeout);
  /// Bytes of a reply are there, or the end of the connection; does not wait.
  bool ready();

  /// Something was read that read_response() has not taken yet.
  bool buffered() const { return !buffer_.empty(); }

  void half_close();
  void reset();  ///< RST
  void close();

 private:
  bool fill(std::chrono::milliseconds timeout);
  std::optional<std::string> take_line();
  std::optional<std::string> take(size_t n);

  int fd_ = -1;
  bool eof_ = false;
  std::string buffer_;
};

/// A request with a Host header, and with Content-Length if there is a body.
std::string make_request(const std::string& method,
                         const std::string& path,
                         const std::string& body = "",
                         const std::vector<std::string>& headers = {});
/// POST of JSON.
std::string make_post(const std::string& path,
                      const std::string& json,
                      const std::vector<std::string>& headers = {});
/// One request over a fresh connection.
RawResponse ask(uint16_t port, const std::string& request);

}  // namespace tutti::testing
