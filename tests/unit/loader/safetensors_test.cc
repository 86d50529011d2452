// Hostile headers: each gives one error that names the file and what is wrong with it.
#include "loader/safetensors.h"

#include <array>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "unit/loader/checkpoint_files.h"

namespace tutti {
namespace {

using ::testing::HasSubstr;
using testing::little_endian64;
using testing::make_tensor;
using testing::raw_safetensors;
using testing::safetensors;
using testing::TempDir;

// A header entry of a [2, 3] f32 tensor (24 bytes) at `offsets`.
std::string entry(const std::string& name, const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[" + offsets + "]}";
}

std::string one(const std::string& fields, size_t data = 24) {
  return raw_safetensors("{\"w\":{" + fields + "}}", data);
}

struct Hostile {
  const char* name;
  std::string content;
  StatusCode code;
  std::vector<std::string> message;  // all of it must occur
};

std::vector<Hostile> cases() {
  constexpr StatusCode kCorrupt = StatusCode::kCorrupt;
  const std::string good = entry("a", "0,24");
  return {
      {"empty", "", kCorrupt, {"has 0 bytes", "download complete"}},
      {"seven_bytes", "1234567", kCorrupt, {"has 7 bytes"}},
      {"only_a_length", little_endian64(2), kCorrupt, {"header of 2 bytes", "file of 8 bytes"}},
      {"length_zero", little_endian64(0) + std::string(24, 'x'), kCorrupt, {"header", "empty"}},
      {"length_past_the_end", little_endian64(1000) + "{}", kCorrupt, {"header of 1000 bytes"}},
      {"length_over_the_limit",
       little_endian64(100'000'001) + "{}",
       kCorrupt,
       {"header length 100000001", "limit of 100000000"}},
      {"length_2_to_63", little_endian64(uint64_t{1} << 63) + "{}", kCorrupt, {"header length"}},
      {"length_all_ones", little_endian64(~uint64_t{0}) + "{}", kCorrupt, {"header length"}},
      {"not_json", raw_safetensors("hello", 0), kCorrupt, {"header: invalid JSON at line 1"}},
      {"json_cut_off", raw_safetensors("{\"w\":{", 0), kCorrupt, {"header: invalid JSON"}},
      {"nul_in_header",
       raw_safetensors(std::string("{}\0", 3), 0),
       kCorrupt,
       {"header: invalid JSON", "NUL"}},
      {"bad_utf8", raw_safetensors("{\"\xff\":1}", 0), kCorrupt, {"header: invalid JSON"}},
      {"too_deep",
       raw_safetensors("{\"a\":[[[[[[[[[1]]]]]]]]]}", 0),
       kCorrupt,
       {"header:", "deeper than 8"}},
      {"array", raw_safetensors("[]", 0), kCorrupt, {"header is an array, wanted an object"}},
      {"duplicate",
       raw_safetensors("{" + good + "," + good + "}", 24),
       kCorrupt,
       {"duplicate key \"a\""}},
      {"entry_is_a_number",
       raw_safetensors("{\"w\":1}", 0),
       kCorrupt,
       {"tensor \"w\"", "an object"}},
      {"no_dtype",
       one("\"shape\":[2,3],\"data_offsets\":[0,24]"),
       kCorrupt,
       {"tensor \"w\"", "dtype"}},
      {"dtype_is_a_number",
       one("\"dtype\":32,\"shape\":[2,3],\"data_offsets\":[0,24]"),
       kCorrupt,
       {"tensor \"w\"", "dtype"}},
      {"unknown_dtype",
       one("\"dtype\":\"F4\",\"shape\":[2,3],\"data_offsets\":[0,24]"),
       StatusCode::kUnsupported,
       {"tensor \"w\"", "dtype \"F4\" is not supported", "F8_E4M3"}},
      {"no_shape",
       one("\"dtype\":\"F32\",\"data_offsets\":[0,24]"),
       kCorrupt,
       {"tensor \"w\"", "shape is missing"}},
      {"shape_is_a_string",
       one("\"dtype\":\"F32\",\"shape\":\"2x3\",\"data_offsets\":[0,24]"),
       kCorrupt,
       {"tensor \"w\"", "shape is a string"}},
      {"negative_dimension",
       one("\"dtype\":\"F32\",\"shape\":[-2,-3],\"data_offsets\":[0,24]"),
       kCorrupt,
       {"tensor \"w\"", "shape holds -2"}},
      {"fractional_dimension",
       one("\"dtype\":\"F32\",\"shape\":[2.5,3],\"data_offsets\":[0,24]"),
       kCorrupt,
       {"tensor \"w\"", "shape holds"}},
      {"dimension_above_int64",
       one("\"dtype\":\"F32\",\"shape\":[9223372036854775808],\"data_offsets\":[0,24]"),
       kCorrupt,
       {"tensor \"w\"", "shape holds"}},
      {"seventeen_dimensions",
       one("\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]",
           4),
       kCorrupt,
       {"tensor \"w\"", "17 entries, wanted at most 16"}},
      {"shape_overflows",
       one("\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,24]"),
       kCorrupt,
       {"tensor \"w\"", "overflows"}},
      {"bytes_overflow",
       one("\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]", 0),
       kCorrupt,
       {"tensor \"w\"", "overflows"}},
      {"offsets_missing",
       one("\"dtype\":\"F32\",\"shape\":[2,3]"),
       kCorrupt,
       {"tensor \"w\"", "data_offsets is missing"}},
      {"three_offsets",
       one("\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24,48]"),
       kCorrupt,
       {"tensor \"w\"", "3 numbers, wanted [begin, end]"}},
      {"negative_offset",
       one("\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[-24,0]"),
       kCorrupt,
       {"tensor \"w\"", "data_offsets holds -24"}},
      {"backwards",
       raw_safetensors("{" + entry("w", "24,0") + "}", 24),
       kCorrupt,
       {"tensor \"w\"", "[24, 0] run backwards"}},
      {"past_the_end",
       raw_safetensors("{" + entry("w", "0,24") + "}", 20),
       kCorrupt,
       {"tensor \"w\"", "end 4 bytes past the end", "download complete"}},
      {"far_past_the_end",
       raw_safetensors("{" + entry("w", "9223372036854775783,9223372036854775807") + "}", 24),
       kCorrupt,
       {"tensor \"w\"", "past the end"}},
      {"wrong_length",
       raw_safetensors("{" + entry("w", "0,20") + "}", 20),
       kCorrupt,
       {"tensor \"w\"", "F32 of shape [2, 3] needs 24 bytes, data_offsets give 20"}},
      {"overlap",
       raw_safetensors("{" + good + "," + entry("b", "12,36") + "}", 36),
       kCorrupt,
       {"tensor \"b\"", "inside tensor \"a\""}},
      {"same_place",
       raw_safetensors("{" + good + "," + entry("b", "0,24") + "}", 24),
       kCorrupt,
       {"inside tensor"}},
      {"hole_between",
       raw_safetensors("{" + good + "," + entry("b", "28,52") + "}", 52),
       kCorrupt,
       {"tensor \"b\"", "4 bytes before it belong to no tensor"}},
      {"hole_in_front",
       raw_safetensors("{" + entry("b", "4,28") + "}", 28),
       kCorrupt,
       {"tensor \"b\"", "4 bytes before it"}},
      {"tail_not_covered",
       raw_safetensors("{" + good + "}", 25),
       kCorrupt,
       {"1 bytes at the end belong to no tensor"}},
      {"no_tensors_but_data", raw_safetensors("{}", 5), kCorrupt, {"5 bytes at the end"}},
  };
}

class HostileHeaderTest : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileHeaderTest, IsRefused) {
  const TempDir dir;
  dir.write("model.safetensors", GetParam().content);
  const auto file = SafetensorsFile::open(dir.file("model.safetensors"));
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.status().code(), GetParam().code) << file.status().message();
  EXPECT_THAT(file.status().message(), ::testing::StartsWith(dir.file("model.safetensors") + ": "));
  for (const std::string& part : GetParam().message) {
    EXPECT_THAT(file.status().message(), HasSubstr(part));
  }
}

INSTANTIATE_TEST_SUITE_P(Headers,
                         HostileHeaderTest,
                         ::testing::ValuesIn(cases()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(SafetensorsTest, ReadsWhatIsValid) {
  const TempDir dir;
  dir.write("m",
            safetensors({make_tensor("b", "F32", {2}, {1.0F, 2.0F}),
                         make_tensor("scalar", "BF16", {}, {3.0F}),
                         make_tensor("none", "F32", {0, 4}, {}),
                         make_tensor("a", "F8_E4M3", {1, 3}, {1.0F, 1.5F, -448.0F})},
                        /*padding=*/5));
  const auto file = SafetensorsFile::open(dir.file("m")).value();
  ASSERT_EQ(file->entries().size(), 4U);
  EXPECT_EQ(file->entries()[0].name, "b") << "order of the header";
  EXPECT_EQ(file->entries()[1].bytes, 2);
  EXPECT_TRUE(file->entries()[1].dims.empty());
  EXPECT_EQ(file->entries()[2].bytes, 0);
  EXPECT_EQ(file->entries()[3].dims, (std::vector<int64_t>{1, 3}));
  std::array<std::byte, 2> codes{};
  ASSERT_TRUE(file->read(file->entries()[3].offset + 1, 2, codes.data()).ok());
  EXPECT_EQ(codes[0], std::byte{0x3C});
  EXPECT_EQ(codes[1], std::byte{0xFE});
}

TEST(SafetensorsTest, FilesThatShrinkAreNamedByTheirLength) {
  const TempDir dir;
  dir.write("m", safetensors({make_tensor("a", "F32", {256}, std::vector<float>(256, 1.0F))}));
  const auto file = SafetensorsFile::open(dir.file("m")).value();
  const SafetensorsEntry& entry = file->entries()[0];
  const int64_t size = entry.offset + entry.bytes;
  std::vector<std::byte> values(usize(entry.bytes));
  std::filesystem::resize_file(dir.file("m"), usize(size - 100));
  const Status status = file->read(entry.offset, entry.bytes, values.data());
  EXPECT_EQ(status.code(), StatusCode::kCorrupt);
  EXPECT_EQ(status.message(),
            fmt::format("ends at {}, but had {} bytes when it was opened; was it replaced while it "
                        "was being read? Load the model again",
                        size - 100,
                        size));
  EXPECT_TRUE(file->read(entry.offset, entry.bytes - 100, values.data()).ok());
  file->read_ahead(entry.offset, entry.bytes);  // advice: no error
}

TEST(SafetensorsTest, MetadataIsNoTensor) {
  const TempDir dir;
  dir.write(
      "m",
      raw_safetensors("{\"__metadata__\":{\"format\":\"pt\"}," + entry("a", "0,24") + "}", 24));
  EXPECT_EQ(SafetensorsFile::open(dir.file("m")).value()->entries().size(), 1U);
  dir.write("empty", raw_safetensors("{}", 0));
  EXPECT_TRUE(SafetensorsFile::open(dir.file("empty")).value()->entries().empty());
}

TEST(SafetensorsTest, OnlyRegularFiles) {
  const TempDir dir;
  std::filesystem::create_directory(dir.file("directory"));
  ASSERT_EQ(mkfifo(dir.file("fifo").c_str(), 0600), 0);
  for (const std::string& path :
       {dir.file("directory"), dir.file("fifo"), std::string("/dev/zero")}) {
    const auto file = SafetensorsFile::open(path);  // must not wait for a writer of the FIFO
    ASSERT_FALSE(file.ok());
    EXPECT_EQ(file.status().message(), path + ": is not a regular file");
  }
  const auto missing = SafetensorsFile::open(dir.file("missing"));
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace tutti
