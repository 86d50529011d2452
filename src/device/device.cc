#include "device/device.h"

#include <utility>

#include "base/units.h"

namespace tutti {

Result<Buffer> Buffer::allocate(Device& device, int64_t bytes, const std::string& what) {
  Buffer buffer;
  // Size-0 tensors exist (an empty rank share); they still get an address.
  buffer.data_ = device.allocate(std::max<int64_t>(bytes, 1));
  if (buffer.data_ == nullptr) {
    return error(StatusCode::kOutOfMemory,
                 "{} on {}: needs {}, {} free",
                 what,
                 device.name(),
                 format_bytes(bytes),
                 format_bytes(device.free_bytes()));
  }
  buffer.device_ = &device;
  buffer.bytes_ = std::max<int64_t>(bytes, 1);
  device.held_bytes_.fetch_add(buffer.bytes_, std::memory_order_relaxed);
  return buffer;
}

Buffer::Buffer(Buffer&& other) noexcept
    : device_(std::exchange(other.device_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ != nullptr) {
    device_->held_bytes_.fetch_sub(bytes_, std::memory_order_relaxed);
    device_->deallocate(data_, bytes_);
  }
}

Result<Tensor> Tensor::empty(Device& device,
                             DType dtype,
                             const Shape& shape,
                             const std::string& what) {
  Tensor tensor;
  TUTTI_TRY(tensor.buffer_, Buffer::allocate(device, shape.numel() * dtype_size(dtype), what));
  tensor.dtype_ = dtype;
  tensor.shape_ = shape;
  return tensor;
}

Result<HostBuffer> HostBuffer::allocate(Device& device, int64_t bytes, const std::string& what) {
  HostBuffer buffer;
  buffer.data_ = device.allocate_host(std::max<int64_t>(bytes, 1));
  if (buffer.data_ == nullptr) {
    return error(StatusCode::kOutOfMemory,
                 "{}: {} of host memory for copies from {} could not be had",
                 what,
                 format_bytes(bytes),
                 device.name());
  }
  buffer.device_ = &device;
  return buffer;
}

HostBuffer::HostBuffer(HostBuffer&& other) noexcept
    : device_(std::exchange(other.device_, nullptr)), data_(std::exchange(other.data_, nullptr)) {}

HostBuffer& HostBuffer::operator=(HostBuffer&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(data_, other.data_);
  return *this;
}

HostBuffer::~HostBuffer() {
  if (device_ != nullptr) {
    device_->deallocate_host(data_);
  }
}

}  // namespace tutti
