// Large uploads, for as long as a load lasts: several threads fill pieces in host memory while
// earlier pieces are on their way to the device. Threads and host memory go with the object.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "device/device.h"

namespace tutti {

struct UploadOptions {
  int threads = 1;
  /// A multiple of 64, so that no element is cut. On a GPU a thread has two pieces in pinned
  /// memory: large enough that queueing a copy costs little beside it (2 MiB take 40 us on PCIe 5),
  /// small enough that a core's cache holds what it fills.
  int64_t piece_bytes = int64_t{2} << 20;
};

/// Threads that each of `ranks` ranks on this machine should load with: their share of the CPUs, at
/// most 8. More gain little, since 8 readers keep a PCIe link or a disk busy.
int upload_threads(int ranks);

/// Used by one thread.
class Uploader {
 public:
  /// Copies are queued on `stream`, which must outlive the object, as must `device`.
  static Result<std::unique_ptr<Uploader>> create(Device& device,
                                                  Stream& stream,
                                                  const UploadOptions& options);

  /// Drops what nobody has begun, and waits for the rest.
  ~Uploader();
  Uploader(const Uploader&) = delete;
  Uploader& operator=(const Uploader&) = delete;

  /// Queues `bytes` bytes to `to` on the device and returns at once. They are cut into pieces at
  /// multiples of piece_bytes, which may be filled in any order, on any thread, at the same time.
  /// `to` and what `fill` refers to must stay until finish(). If anything failed before, nothing is
  /// queued and the first failure is returned.
  Status upload(void* to, int64_t bytes, FillFunction fill);

  /// Waits until everything queued so far was filled and its copies are queued on the stream. The
  /// first failure of any piece: what `fill` returned, or threw.
  Status finish();

 private:
  struct Job {
    std::byte* to = nullptr;
    int64_t bytes = 0;
    FillFunction fill;
  };

  struct Piece {
    std::shared_ptr<const Job> job;  // the threads at its pieces own it together
    int64_t begin = 0;
    int64_t end = 0;
  };

  explicit Uploader(int64_t piece_bytes) : piece_bytes_(piece_bytes) {}

  void work(PieceWriter& writer);
  Piece take();  // with mutex_ held and jobs_ not empty

  const int64_t piece_bytes_;
  std::mutex mutex_;
  std::condition_variable work_ready_;
  std::condition_variable all_done_;
  std::deque<std::shared_ptr<const Job>> jobs_;  // with pieces that nobody has taken
  int64_t next_ = 0;  // of the first of them: where its next piece begins
  int64_t busy_ = 0;  // threads at a piece
  bool stop_ = false;
  Status failure_;
  std::vector<std::unique_ptr<PieceWriter>> writers_;  // one per thread
  std::vector<std::thread> threads_;
};

}  // namespace tutti
