// Packed weights as the library unpacks them, bit for bit: packed_vectors.py wrote the file.
#include <bit>
#include <cstdlib>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "tensor/packed_format.h"
#include "tensor/weight_view.h"

namespace tutti {
namespace {

template <class T>
std::vector<T> numbers(const Json& list) {
  std::vector<T> out;
  for (const Json& value : list.as_array()) {
    out.push_back(static_cast<T>(value.as_int()));
  }
  return out;
}

class Case {
 public:
  explicit Case(const JsonObject& json) : json_(json) {}

  int64_t number(const char* key) const { return json_.find(key)->as_int(); }

  const Json& of(const char* key) const { return *json_.find(key); }

  DType scales() const { return parse_dtype(of("scales").as_string()).value(); }

 private:
  const JsonObject& json_;
};

void compare(const Case& c) {
  const int64_t rows = c.number("rows");
  const int64_t cols = c.number("cols");
  const int64_t group = c.number("group");
  const bool symmetric = c.of("zero").is_null();
  const WeightFormat& format = packed_format(
      {.bits = static_cast<int>(c.number("bits")), .scales = c.scales(), .symmetric = symmetric});
  WeightView w(WeightLayout::of(format, {1, group == 0 ? kWholeSide : group}), {rows, cols});
  const auto words = numbers<uint32_t>(c.of("packed"));
  const auto zeros = symmetric ? std::vector<uint32_t>() : numbers<uint32_t>(c.of("zero"));
  const auto wide = numbers<uint32_t>(c.of("scale"));
  const std::vector<uint16_t> narrow(wide.begin(), wide.end());
  const void* scales = c.scales() == DType::kF32 ? static_cast<const void*>(wide.data())
                                                 : static_cast<const void*>(narrow.data());
  w.planes = {{{words.data(), DType::kI32, w.layout.plane_shape(0, w.shape)},
               {scales, c.scales(), w.layout.plane_shape(1, w.shape)},
               {}}};
  ASSERT_EQ(w.planes[0].numel(), static_cast<int64_t>(words.size()));
  if (!symmetric) {
    w.planes[2] = {zeros.data(), DType::kI32, w.layout.plane_shape(2, w.shape)};
    ASSERT_EQ(w.planes[2].numel(), static_cast<int64_t>(zeros.size()));
  }
  const auto want = numbers<uint32_t>(c.of("want"));
  for (int64_t n = 0; n < rows; ++n) {
    // From several columns on, as tiles of kernels begin.
    for (const int64_t begin : {int64_t{0}, cols / 3, cols - 1}) {
      std::vector<float> got(static_cast<size_t>(cols - begin));
      format.dequantise(w.row(0, n, begin), cols - begin, got.data());
      for (int64_t k = begin; k < cols; ++k) {
        ASSERT_EQ(std::bit_cast<uint32_t>(got[static_cast<size_t>(k - begin)]),
                  want[static_cast<size_t>(n * cols + k)])
            << format.name << ", row " << n << ", column " << k << " from " << begin << " on";
      }
    }
  }
}

TEST(PackedVectors, BitsOfTheLibrary) {
  const char* other = std::getenv("TUTTI_PACKED_VECTORS");  // NOLINT(concurrency-mt-unsafe)
  const std::string path = other != nullptr ? other : TUTTI_PACKED_VECTORS_FILE;
  const Json cases = parse_json(read_file(path, int64_t{1} << 30).value()).value();
  ASSERT_FALSE(cases.as_array().empty());
  for (const Json& one : cases.as_array()) {
    compare(Case(one.as_object()));
  }
}

}  // namespace
}  // namespace tutti
