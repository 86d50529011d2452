// A memory space with a compute queue. The CPU is one; GPUs live in libtutti_cuda.so.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "tensor/tensor_view.h"

namespace tutti {

enum class DeviceKind { kCpu, kCuda };

/// Opaque ordered queue. On the CPU work is done when the call returns.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual Status synchronize() = 0;
};

/// A point in the order of a stream that any thread can wait for. Used again and again.
class Fence {
 public:
  virtual ~Fence() = default;
  /// Moves the fence to behind everything queued on `stream` so far.
  virtual Status record(Stream& stream) = 0;
  /// kDevice also for errors of what was queued before.
  virtual Status wait() = 0;
};

/// Measures the time between two points in the order of a stream. Used again and again.
class Timer {
 public:
  virtual ~Timer() = default;
  virtual Status start(Stream& stream) = 0;
  virtual Status stop(Stream& stream) = 0;
  /// Once the stream has been synchronised.
  virtual Result<double> seconds() = 0;
};

/// Operations of a stream, recorded once and queued again as a whole: with the same arguments on
/// the same addresses, so only what lies in memory may differ.
class Graph {
 public:
  virtual ~Graph() = default;
  virtual Status launch(Stream& stream) = 0;
};

/// Writes bytes [begin, end) of something larger to `out`. Called by several threads at once.
using FillFunction = std::function<Status(int64_t begin, int64_t end, std::byte* out)>;

/// Brings one piece after another to a device. Of one thread at a time; see uploader.h.
class PieceWriter {
 public:
  /// Waits for the copies out of its memory.
  virtual ~PieceWriter() = default;
  /// Lets `fill` write bytes [begin, end) of what lies at `to` on the device, and queues their copy
  /// on the writer's stream. Returns the error of `fill`; passes on what it throws.
  virtual Status write(std::byte* to, int64_t begin, int64_t end, const FillFunction& fill) = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual DeviceKind kind() const = 0;
  virtual int index() const = 0;
  virtual std::string name() const = 0;
  virtual int64_t total_bytes() const = 0;
  virtual int64_t free_bytes() const = 0;

  /// Uninitialised memory aligned to at least 128 bytes; nullptr if there is not enough.
  virtual void* allocate(int64_t bytes) = 0;
  virtual void deallocate(void* data, int64_t bytes) = 0;

  /// Of this object's memory that Buffers own now, whatever other programs have there. Any thread.
  int64_t held_bytes() const { return held_bytes_.load(std::memory_order_relaxed); }

  /// Ordered on `stream`. When the call returns, `from` may be reused: it was copied or staged.
  virtual Status copy_from_host(void* to, const void* from, int64_t bytes, Stream& stream) = 0;
  /// Ordered on `stream`; `to` holds the values once the stream is synchronised. Does not wait if
  /// `to` came from allocate_host.
  virtual Status copy_to_host(void* to, const void* from, int64_t bytes, Stream& stream) = 0;
  /// For pieces of at most `piece_bytes`. `stream` must outlive the writer. kOutOfMemory if there
  /// is no host memory for it.
  virtual Result<std::unique_ptr<PieceWriter>> new_piece_writer(Stream& stream,
                                                                int64_t piece_bytes) = 0;
  virtual std::unique_ptr<Stream> new_stream() = 0;
  virtual std::unique_ptr<Fence> new_fence() = 0;
  virtual std::unique_ptr<Timer> new_timer() = 0;
  /// Queues a pause: what is queued afterwards starts so much later, where the device does not run
  /// it at once anyhow.
  virtual Status pause(Stream& stream, double seconds) = 0;

  /// Host memory that the device copies to by itself; nullptr if there is not enough.
  virtual void* allocate_host(int64_t bytes) = 0;
  virtual void deallocate_host(void* data) = 0;

  /// Whether record() works: launching operations one by one costs so much that it pays.
  virtual bool records_graphs() const = 0;
  /// Runs `work`, which queues on `stream` and must not wait; what it queues is recorded and not
  /// executed.
  virtual Result<std::unique_ptr<Graph>> record(Stream& stream,
                                                const std::function<Status()>& work) = 0;

 private:
  friend class Buffer;
  std::atomic<int64_t> held_bytes_{0};
};

/// Owns host memory of a device.
class HostBuffer {
 public:
  HostBuffer() = default;
  static Result<HostBuffer> allocate(Device& device, int64_t bytes, const std::string& what);
  HostBuffer(HostBuffer&& other) noexcept;
  HostBuffer& operator=(HostBuffer&& other) noexcept;
  HostBuffer(const HostBuffer&) = delete;
  HostBuffer& operator=(const HostBuffer&) = delete;
  ~HostBuffer();

  void* data() const { return data_; }

 private:
  Device* device_ = nullptr;
  void* data_ = nullptr;
};

/// Owns one allocation of a device.
class Buffer {
 public:
  Buffer() = default;
  /// kOutOfMemory names the device, the request and what is free.
  static Result<Buffer> allocate(Device& device, int64_t bytes, const std::string& what);
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  void* data() const { return data_; }

  int64_t bytes() const { return bytes_; }

 private:
  Device* device_ = nullptr;
  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

/// Owning, move-only tensor.
class Tensor {
 public:
  Tensor() = default;
  static Result<Tensor> empty(Device& device,
                              DType dtype,
                              const Shape& shape,
                              const std::string& what);

  TensorView view() const { return {buffer_.data(), dtype_, shape_}; }

  bool defined() const { return buffer_.data() != nullptr; }

  int64_t bytes() const { return buffer_.bytes(); }

  DType dtype() const { return dtype_; }

  const Shape& shape() const { return shape_; }

 private:
  Buffer buffer_;
  DType dtype_ = DType::kF32;
  Shape shape_;
};

}  // namespace tutti
