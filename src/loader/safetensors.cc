#include "loader/safetensors.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <system_error>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/json.h"

namespace tutti {

namespace {

constexpr int64_t kLengthBytes = 8;
constexpr int64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit
constexpr size_t kMaxDims = 16;

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
  Status status = file->map_file();
  if (status.ok()) {
    status = file->parse_header();
  }
  if (!status.ok()) {
    return std::move(status).with_context(path);
  }
  return file;
}

SafetensorsFile::~SafetensorsFile() {
  if (map_ != nullptr) {
    munmap(const_cast<std::byte*>(map_), usize(size_));
  }
}

Status SafetensorsFile::map_file() {
  // O_NONBLOCK: opening a FIFO must not wait for a writer before fstat can refuse it.
  const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    return error(StatusCode::kNotFound, "cannot open: {}", std::generic_category().message(errno));
  }

  struct stat info {};

  const bool regular = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  size_ = info.st_size;
  void* map = MAP_FAILED;
  if (regular && size_ >= kLengthBytes) {
    map = mmap(nullptr, usize(size_), PROT_READ, MAP_PRIVATE, fd, 0);
  }
  close(fd);
  if (!regular) {
    return invalid("is not a regular file");
  }
  if (size_ < kLengthBytes) {
    return corrupt("has {} bytes, too short for a safetensors header; is the download complete?",
                   size_);
  }
  if (map == MAP_FAILED) {
    return error(StatusCode::kOutOfMemory,
                 "cannot map {} bytes: {}",
                 size_,
                 std::generic_category().message(errno));
  }
  map_ = static_cast<const std::byte*>(map);
  return ok_status();
}

Status SafetensorsFile::parse_header() {
  static_assert(std::endian::native == std::endian::little,
                "header length and tensors are little-endian");
  uint64_t length = 0;
  std::memcpy(&length, map_, sizeof length);
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
  const std::string_view text(reinterpret_cast<const char*>(map_) + kLengthBytes,
                              static_cast<size_t>(length));
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

void SafetensorsFile::drop(const std::byte* begin, int64_t bytes) const {
  constexpr int64_t kPage = 4096;
  const int64_t from = ceil_div(begin - map_, kPage) * kPage;  // only whole pages inside the range
  const int64_t to = (begin - map_ + bytes) / kPage * kPage;
  if (to > from) {
    madvise(const_cast<std::byte*>(map_ + from), usize(to - from), MADV_DONTNEED);
  }
}

}  // namespace tutti
