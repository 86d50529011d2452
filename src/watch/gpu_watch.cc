#include "watch/gpu_watch.h"

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/wall_clock.h"
#include "watch/gpu_sampler.h"
#include "watch/gpu_watch_state.h"

namespace tutti {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kNodeInterval{60};
constexpr std::chrono::seconds kLetGo{2};  // for the thread to end

// Why the device file cannot be opened; empty: it can, or there is none, as under WSL.
std::string error_of_node(const std::string& node) {
  const int file = open(node.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (file >= 0) {
    close(file);
    return "";
  }
  return errno == ENOENT ? "" : fmt::format("{}: {}", node, std::generic_category().message(errno));
}

}  // namespace

// The thread holds it too, so that it outlives the watch where a driver hangs.
struct GpuWatch::Shared {
  GpuWatchOptions options;
  mutable std::mutex mutex;
  std::condition_variable stopped;
  bool stop = false;    // under the mutex
  bool ended = false;   // under the mutex: the thread is done
  GpuWatchState state;  // under the mutex

  void say(const std::string& line) const {
    if (!line.empty() && options.say) {
      options.say(line);
    }
  }

  // False once the watch is gone.
  bool sleep(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex);
    return !stopped.wait_for(lock, time, [this] { return stop; });
  }

  void take(std::vector<GpuReading> gpus, double seconds) {
    std::vector<std::string> lines;
    {
      const std::lock_guard lock(mutex);
      lines = state.take(std::move(gpus), seconds, unix_now());
    }
    for (const std::string& line : lines) {
      say(line);
    }
  }

  void take_xid(const GpuSampler::Xid& xid) {
    std::string line;
    {
      const std::lock_guard lock(mutex);
      line = state.take_xid(xid.gpu, xid.code, unix_now());
    }
    const std::string meaning = options.explain ? options.explain(xid.code) : "";
    say(line.empty() || meaning.empty() ? line : line + ": " + meaning);
  }

  void look_at_node() {
    const std::string error = error_of_node(options.node);
    std::string line;
    {
      const std::lock_guard lock(mutex);
      line = state.take_node_error(error, unix_now());
    }
    say(line);
  }

  void run() {
    Result<std::unique_ptr<GpuSampler>> sampler = GpuSampler::open(options.libraries);
    if (!sampler.ok()) {
      const std::lock_guard lock(mutex);
      state.fail(sampler.status().message());
      return;
    }
    Clock::time_point last = Clock::now();
    Clock::time_point node = last;
    do {
      const Clock::time_point now = Clock::now();
      take((*sampler)->read(), std::chrono::duration<double>(now - last).count());
      last = now;
      if (!options.node.empty() && now >= node) {
        look_at_node();
        node = now + kNodeInterval;
      }
      // Errors that came meanwhile; the wait for the next is short, since nothing ends it early.
      constexpr std::chrono::milliseconds kEventWait{10};
      for (int i = 0; i < 16; ++i) {
        const std::optional<GpuSampler::Xid> xid = (*sampler)->wait_for_xid(kEventWait);
        if (!xid) {
          break;
        }
        take_xid(*xid);
      }
    } while (sleep(options.interval));
  }
};

GpuWatch::GpuWatch(GpuWatchOptions options) : shared_(std::make_shared<Shared>()) {
  shared_->options = std::move(options);
  std::thread([shared = shared_] {
    shared->run();
    const std::lock_guard lock(shared->mutex);
    shared->ended = true;
    shared->stopped.notify_all();
  }).detach();
}

GpuWatch::~GpuWatch() {
  std::unique_lock lock(shared_->mutex);
  shared_->stop = true;
  shared_->stopped.notify_all();
  shared_->stopped.wait_for(lock, kLetGo, [this] { return shared_->ended; });
}

void GpuWatch::set_used(std::set<std::string> uuids) {
  const std::lock_guard lock(shared_->mutex);
  shared_->state.set_used(std::move(uuids));
}

GpuStatus GpuWatch::status() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->state.status();
}

}  // namespace tutti
