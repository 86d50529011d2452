#include "device/uploader.h"

#include <algorithm>
#include <exception>
#include <new>
#include <system_error>
#include <utility>

#include "base/checked.h"
#include "device/cpu_device.h"

namespace tutti {

namespace {

constexpr int kMaxThreads = 8;
constexpr int64_t kPieceUnit = 64;

// What `fill` throws ends the load and not the program: it runs on threads that nobody else knows.
Status write_piece(
    PieceWriter& writer, std::byte* to, int64_t begin, int64_t end, const FillFunction& fill) {
  try {
    return writer.write(to, begin, end, fill);
  } catch (const std::bad_alloc&) {
    return error(StatusCode::kOutOfMemory, "host memory ran out during an upload");
  } catch (const std::exception& e) {
    return error(StatusCode::kInternal, "during an upload: {}", e.what());
  } catch (...) {
    return error(StatusCode::kInternal, "during an upload: an unknown exception");
  }
}

}  // namespace

int upload_threads(int ranks) {
  return std::clamp(available_cpus() / std::max(ranks, 1), 1, kMaxThreads);
}

Result<std::unique_ptr<Uploader>> Uploader::create(Device& device,
                                                   Stream& stream,
                                                   const UploadOptions& options) {
  TUTTI_CHECK_GE(options.threads, 1);
  TUTTI_CHECK_GT(options.piece_bytes, 0);
  TUTTI_CHECK_EQ(options.piece_bytes % kPieceUnit, 0);
  std::unique_ptr<Uploader> uploader(new Uploader(options.piece_bytes));
  for (int i = 0; i < options.threads; ++i) {
    TUTTI_TRY(std::unique_ptr<PieceWriter> writer,
              device.new_piece_writer(stream, options.piece_bytes));
    uploader->writers_.push_back(std::move(writer));
  }
  try {
    for (const auto& writer : uploader->writers_) {
      uploader->threads_.emplace_back(&Uploader::work, uploader.get(), std::ref(*writer));
    }
  } catch (const std::system_error& e) {
    return error(StatusCode::kUnavailable,
                 "cannot start {} threads for uploads: {}; is a limit on threads reached "
                 "(ulimit -u, or pids.max of the cgroup)?",
                 options.threads,
                 e.what());
  }
  return uploader;
}

Uploader::~Uploader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    jobs_.clear();
  }
  work_ready_.notify_all();
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

Status Uploader::upload(void* to, int64_t bytes, FillFunction fill) {
  auto job = std::make_shared<const Job>(
      Job{.to = static_cast<std::byte*>(to), .bytes = bytes, .fill = std::move(fill)});
  {
    const std::lock_guard lock(mutex_);
    if (!failure_.ok()) {
      return failure_;
    }
    if (bytes == 0) {
      return ok_status();
    }
    jobs_.push_back(std::move(job));
  }
  if (bytes > piece_bytes_) {
    work_ready_.notify_all();
  } else {
    work_ready_.notify_one();
  }
  return ok_status();
}

Status Uploader::finish() {
  std::unique_lock lock(mutex_);
  all_done_.wait(lock, [this] { return jobs_.empty() && busy_ == 0; });
  return failure_;
}

Uploader::Piece Uploader::take() {
  Piece piece{.job = jobs_.front(), .begin = next_};
  piece.end = std::min(piece.begin + piece_bytes_, piece.job->bytes);
  next_ = piece.end;
  if (piece.end == piece.job->bytes) {
    jobs_.pop_front();
    next_ = 0;
  }
  return piece;
}

void Uploader::work(PieceWriter& writer) {
  std::unique_lock lock(mutex_);
  while (true) {
    work_ready_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
    if (jobs_.empty()) {
      return;
    }
    Piece piece = take();
    ++busy_;
    lock.unlock();
    Status status = write_piece(writer, piece.job->to, piece.begin, piece.end, piece.job->fill);
    piece.job.reset();
    lock.lock();
    --busy_;
    if (!status.ok()) {
      jobs_.clear();
      next_ = 0;
      if (failure_.ok()) {
        failure_ = std::move(status);
      }
    }
    if (jobs_.empty() && busy_ == 0) {
      all_done_.notify_all();
    }
  }
}

}  // namespace tutti
