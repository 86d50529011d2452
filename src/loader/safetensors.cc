#include "loader/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/json.h"

namespace tutti {

namespace {

constexpr int64_t kLengthBytes = 8;
constexpr int64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit
constexpr size_t kMaxDims = 16;
// Gaps up to this length are read too, and dropped: a system call per run costs more. Kernels need
// 0.3 to 2.5 us for a call and 0.5 us for copying 8 KiB.
constexpr int64_t kMaxGap = 8192;
constexpr int64_t kRunsPerCall = 512;  // two buffers each; Linux takes 1024

template <class... Args>
Status corrupt(fmt::format_string<Args...> format, Args&&... args) {
  return {StatusCode::kCorrupt, fmt::format(format, std::forward<Args>(args)...)};
}

// [begin, end] of "data_offsets", or a shape: an array of non-negative integers.
Result<std::vector<int64_t>> sizes(const Json* json, std::string_view what) {
  if (json == nullptr || !json->is_array()) {
    return corrupt("{} is {}, wanted an array of sizes",
                   what,
                   json == nullptr ? "missing" : json->type_name());
  }
  std::vector<int64_t> out;
  for (const Json& item : json->as_array()) {
    if (!item.is_int() || item.as_int() < 0) {
      return corrupt("{} holds {}, wanted sizes from 0 to 2^63-1",
                     what,
                     item.is_int() ? std::to_string(item.as_int()) : item.type_name());
    }
    out.push_back(item.as_int());
  }
  if (out.size() > kMaxDims) {
    return corrupt("{} has {} entries, wanted at most {}", what, out.size(), kMaxDims);
  }
  return out;
}

Result<SafetensorsEntry> parse_entry(const std::string& name,
                                     const Json& json,
                                     int64_t data_begin,
                                     int64_t file_size) {
  if (!json.is_object()) {
    return corrupt("is {}, wanted an object", json.type_name());
  }
  SafetensorsEntry entry;
  entry.name = name;
  const Json* dtype = json.find("dtype");
  if (dtype == nullptr || !dtype->is_string()) {
    return corrupt("dtype is missing or not a string");
  }
  const std::optional<DType> parsed = parse_dtype(dtype->as_string());
  if (!parsed) {
    return Status(
        StatusCode::kUnsupported,
        fmt::format(
            "dtype \"{}\" is not supported; supported are F32, F16, BF16, F8_E4M3, F64, BOOL and "
            "the integer types",
            dtype->as_string()));
  }
  entry.dtype = *parsed;
  TUTTI_TRY(entry.dims, sizes(json.find("shape"), "shape"));
  TUTTI_TRY(const std::vector<int64_t> offsets, sizes(json.find("data_offsets"), "data_offsets"));
  if (offsets.size() != 2) {
    return corrupt("data_offsets has {} numbers, wanted [begin, end]", offsets.size());
  }
  const int64_t begin = offsets[0];
  const int64_t end = offsets[1];
  const int64_t data_bytes = file_size - data_begin;
  if (begin > end) {
    return corrupt("data_offsets [{}, {}] run backwards", begin, end);
  }
  if (end > data_bytes) {
    return corrupt(
        "data_offsets [{}, {}] end {} bytes past the end of the file ({} data bytes); is the "
        "download complete?",
        begin,
        end,
        end - data_bytes,
        data_bytes);
  }
  std::optional<int64_t> bytes = checked_product(entry.dims);
  bytes = bytes ? checked_mul(*bytes, dtype_size(entry.dtype)) : std::nullopt;
  if (!bytes) {
    return corrupt("shape [{}] overflows 64 bits", fmt::join(entry.dims, ", "));
  }
  if (*bytes != end - begin) {
    return corrupt("{} of shape [{}] needs {} bytes, data_offsets give {}",
                   dtype_name(entry.dtype),
                   fmt::join(entry.dims, ", "),
                   *bytes,
                   end - begin);
  }
  entry.offset = data_begin + begin;
  entry.bytes = *bytes;
  return entry;
}

// The format demands that tensors, in order of offset, cover the data exactly.
Status check_coverage(const std::vector<SafetensorsEntry>& entries,
                      int64_t data_begin,
                      int64_t file_size) {
  std::vector<const SafetensorsEntry*> order;
  order.reserve(entries.size());
  for (const SafetensorsEntry& e : entries) {
    order.push_back(&e);
  }
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return a->offset != b->offset ? a->offset < b->offset : a->bytes < b->bytes;
  });
  int64_t expected = data_begin;
  const SafetensorsEntry* previous = nullptr;
  for (const SafetensorsEntry* e : order) {
    if (e->offset < expected) {
      return corrupt("tensor \"{}\": data_offsets begin at {}, inside tensor \"{}\"",
                     e->name,
                     e->offset - data_begin,
                     previous == nullptr ? "" : previous->name);
    }
    if (e->offset > expected) {
      return corrupt(
          "tensor \"{}\": {} bytes before it belong to no tensor", e->name, e->offset - expected);
    }
    expected = e->offset + e->bytes;
    previous = e;
  }
  if (expected != file_size) {
    return corrupt("{} bytes at the end belong to no tensor", file_size - expected);
  }
  return ok_status();
}

}  // namespace

Result<std::unique_ptr<SafetensorsFile>> SafetensorsFile::open(const std::string& path) {
  std::unique_ptr<SafetensorsFile> file(new SafetensorsFile());
  file->path_ = path;
  Status status = file->open_file();
  if (status.ok()) {
    status = file->parse_header();
  }
  if (!status.ok()) {
    return std::move(status).with_context(path);
  }
  return file;
}

SafetensorsFile::~SafetensorsFile() {
  if (fd_ >= 0) {
    close(fd_);
  }
}

Status SafetensorsFile::open_file() {
  // O_NONBLOCK: opening a FIFO must not wait for a writer before fstat can refuse it.
  fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) {
    return error(StatusCode::kNotFound, "cannot open: {}", std::generic_category().message(errno));
  }

  struct stat info {};

  if (fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
    return invalid("is not a regular file");
  }
  size_ = info.st_size;
  if (size_ < kLengthBytes) {
    return corrupt("has {} bytes, too short for a safetensors header; is the download complete?",
                   size_);
  }
  return ok_status();
}

Status SafetensorsFile::read(int64_t offset, int64_t bytes, std::byte* to) const {
  for (int64_t done = 0; done < bytes;) {
    const ssize_t n = pread(fd_, to + done, usize(bytes - done), offset + done);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return corrupt("cannot read {} bytes at {}: {}",
                     bytes - done,
                     offset + done,
                     std::generic_category().message(errno));
    }
    if (n == 0) {
      return corrupt(
          "ends at {}, but had {} bytes when it was opened; was it replaced while it was "
          "being read? Load the model again",
          offset + done,
          size_);
    }
    done += n;
  }
  return ok_status();
}

Status SafetensorsFile::read_strided(
    int64_t offset, int64_t run, int64_t stride, int64_t count, std::byte* to) const {
  const int64_t gap = stride - run;
  std::array<std::byte, kMaxGap> dropped;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  std::vector<iovec> buffers;
  while (count > 0) {
    const int64_t runs = gap <= kMaxGap ? std::min(count, kRunsPerCall) : 1;
    buffers.clear();
    for (int64_t i = 0; i < runs; ++i) {
      buffers.push_back({.iov_base = to + i * run, .iov_len = usize(run)});
      buffers.push_back({.iov_base = dropped.data(), .iov_len = usize(gap)});
    }
    buffers.pop_back();  // what follows the last run may not be there
    if (runs == 1 || preadv(fd_, buffers.data(), narrow<int>(ssize(buffers.size())), offset) !=
                         runs * stride - gap) {
      // One by one: also to say what is wrong, and where.
      for (int64_t i = 0; i < runs; ++i) {
        TUTTI_RETURN_IF_ERROR(read(offset + i * stride, run, to + i * run));
      }
    }
    offset += runs * stride;
    to += runs * run;
    count -= runs;
  }
  return ok_status();
}

void SafetensorsFile::read_ahead(int64_t offset, int64_t bytes) const {
  // Advice walks over all pages of the range, which is wasted if they are in memory. Both ends
  // tell, nearly always: pages come and go in long runs.
  const auto in_memory = [this](int64_t at) {
    std::byte byte{};
    const iovec to{.iov_base = &byte, .iov_len = 1};
    return preadv2(fd_, &to, 1, at, RWF_NOWAIT) == 1;
  };
  if (bytes > 0 && !(in_memory(offset) && in_memory(offset + bytes - 1))) {
    posix_fadvise(fd_, offset, bytes, POSIX_FADV_WILLNEED);
  }
}

Status SafetensorsFile::parse_header() {
  static_assert(std::endian::native == std::endian::little,
                "header length and tensors are little-endian");
  uint64_t length = 0;
  TUTTI_RETURN_IF_ERROR(read(0, kLengthBytes, reinterpret_cast<std::byte*>(&length)));
  if (length > static_cast<uint64_t>(kMaxHeaderBytes)) {
    return corrupt("header length {} is over the limit of {}; is this a safetensors file?",
                   length,
                   kMaxHeaderBytes);
  }
  const int64_t data_begin = kLengthBytes + static_cast<int64_t>(length);
  if (data_begin > size_) {
    return corrupt(
        "header of {} bytes does not fit the file of {} bytes; is the download complete?",
        length,
        size_);
  }
  std::string text(static_cast<size_t>(length), '\0');
  TUTTI_RETURN_IF_ERROR(
      read(kLengthBytes, ssize(text.size()), reinterpret_cast<std::byte*>(text.data())));
  Result<Json> header = parse_json(text, {.max_depth = 8});
  if (!header.ok()) {
    return corrupt("header: {}", header.status().message());
  }
  if (!header->is_object()) {
    return corrupt("header is {}, wanted an object", header->type_name());
  }
  for (const JsonMember& member : header->as_object()) {
    if (member.key == "__metadata__") {
      continue;
    }
    Result<SafetensorsEntry> entry = parse_entry(member.key, member.value, data_begin, size_);
    if (!entry.ok()) {
      return std::move(entry).status().with_context(fmt::format("tensor \"{}\"", member.key));
    }
    entries_.push_back(std::move(entry).value());
  }
  return check_coverage(entries_, data_begin, size_);
}

}  // namespace tutti
