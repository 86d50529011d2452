// tutti top: the GPUs as they work, by the driver or by a server that watches them.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <variant>

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "apps/collector.h"
#include "apps/common.h"
#include "apps/options.h"
#include "base/file.h"
#include "base/wall_clock.h"
#include "http/client.h"
#include "inventory/nvml_source.h"
#include "watch/gpu_sampler.h"
#include "watch/top_table.h"

namespace tutti {

namespace {

constexpr int kPipeColumns = 80;

Result<GpuStatus> read_status(std::string_view text, const std::string& where) {
  Result<Json> json = parse_json(text);
  Result<GpuStatus> status = json.ok() ? parse_status(*json) : std::move(json).status();
  if (!status.ok()) {
    return std::move(status).status().with_context(where);
  }
  return status;
}

// Where readings come from.
class Source {
 public:
  static Result<Source> open(const TopOptions& options) {
    Source source;
    source.options_ = options;
    if (!options.file.empty()) {
      return source;
    }
    if (!options.url.empty()) {
      TUTTI_TRY(source.url_, http::Url::parse(options.url));
      return source;
    }
    TUTTI_TRY(source.sampler_, GpuSampler::open(nvml_names()));
    return source;
  }

  Result<GpuStatus> look() {
    if (!options_.file.empty()) {
      TUTTI_TRY(const std::string text, read_file(options_.file, int64_t{16} << 20));
      return read_status(text, options_.file);
    }
    if (sampler_ == nullptr) {
      return ask_server();
    }
    GpuStatus status{.time = utc_time(unix_now())};
    status.gpus = sampler_->read();
    return status;
  }

 private:
  Result<GpuStatus> ask_server() const {
    TUTTI_TRY(const http::Endpoint endpoint, http::find_endpoint(url_));
    const std::string path =
        url_.path + (url_.path.ends_with("/v1") ? "" : "/v1") + "/cluster/gpus";
    const std::string key =
        options_.api_key.empty() ? read_environment().api_key : options_.api_key;
    const std::string request = fmt::format(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: tutti-top\r\n{}Connection: close\r\n\r\n",
        path,
        url_.authority,
        key.empty() ? "" : "Authorization: Bearer " + key + "\r\n");
    const std::variant<http::Fetched, http::Failure> got =
        http::fetch(endpoint, request, {.timeout = std::chrono::seconds(10)});
    const auto* fetched = std::get_if<http::Fetched>(&got);
    if (fetched == nullptr) {
      return error(StatusCode::kUnavailable,
                   "--url {}: no server answers there; is tutti serve running?",
                   options_.url);
    }
    if (fetched->status != 200) {
      return error(fetched->status == 401 ? StatusCode::kUnauthenticated : StatusCode::kUnavailable,
                   "--url {}: GET {} was answered with {}{}",
                   options_.url,
                   path,
                   fetched->status,
                   fetched->status == 401 ? "; --api-key gives the key" : "");
    }
    return read_status(fetched->body, options_.url);
  }

  TopOptions options_;
  http::Url url_;
  std::unique_ptr<GpuSampler> sampler_;
};

TopStyle style_of(const TopOptions& options, bool live) {
  TopStyle style{.columns = kPipeColumns};
  winsize size{};
  if (isatty(STDOUT_FILENO) == 1 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
      size.ws_col > 0) {
    style.columns = size.ws_col;
    style.rows = live ? size.ws_row : 0;
    style.colour = read_environment().colour;
  }
  style.columns = options.columns > 0 ? options.columns : style.columns;
  return style;
}

// The terminal's other screen, without a cursor, and keys as they are typed; all of it undone at
// the end.
class Screen {
 public:
  Screen() {
    keys_ = tcgetattr(STDIN_FILENO, &before_) == 0;
    if (keys_) {
      termios raw = before_;
      raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
      tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    write("\x1b[?1049h\x1b[?25l");
  }

  ~Screen() {
    write("\x1b[?25h\x1b[?1049l");
    if (keys_) {
      tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    }
  }

  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  /// Each line up to its end, then what is below: nothing flickers.
  static void draw(const std::string& text) {
    std::string out = "\x1b[H";
    for (const char c : text) {
      out += c == '\n' ? std::string("\x1b[K\r\n") : std::string(1, c);
    }
    write(out + "\x1b[J");
  }

  /// False: somebody wants to go.
  bool wait(double seconds) const {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point end =
        Clock::now() + std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
    while (InterruptGuard::count() == 0) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
      if (left <= 0) {
        return true;
      }
      pollfd input{.fd = keys_ ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0};
      char key = 0;
      if (poll(&input, 1, static_cast<int>(std::min<int64_t>(left, 100))) > 0 &&
          (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q')) {
        return false;
      }
    }
    return false;
  }

 private:
  static void write(const std::string& text) {
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
  }

  termios before_{};
  bool keys_ = false;
};

Status live(const TopOptions& options, Source& source) {
  const InterruptGuard guard;
  InterruptGuard::reset();
  const Screen screen;
  GpuStatus shown;
  do {
    Result<GpuStatus> status = source.look();
    if (status.ok()) {
      shown = std::move(status).value();
    } else {
      shown.error = status.status().message();  // below what was seen last; it may come back
    }
    Screen::draw(top_table(shown, style_of(options, true)));
  } while (screen.wait(options.interval_seconds));
  return ok_status();
}

Status top(const TopOptions& options) {
  if (options.json && !options.once) {
    return invalid("--json: is for one look; add --once");
  }
  TUTTI_TRY(Source source, Source::open(options));
  if (!options.once && isatty(STDOUT_FILENO) == 1) {
    return live(options, source);
  }
  TUTTI_TRY(const GpuStatus status, source.look());
  const std::string text = options.json ? to_string(status_json(status)) + "\n"
                                        : top_table(status, style_of(options, false));
  std::fputs(text.c_str(), stdout);
  return ok_status();
}

}  // namespace

int top_command(const TopOptions& options) {
  const Status status = top(options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace tutti
