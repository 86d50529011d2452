#include "loader/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "unit/loader/checkpoint_files.h"

namespace tutti {
namespace {

using ::testing::HasSubstr;
using testing::make_tensor;
using testing::safetensors;
using testing::TempDir;

constexpr const char* kIndex = "model.safetensors.index.json";

class CheckpointTest : public ::testing::Test {
 protected:
  void write_shards() {
    dir_.write("one.safetensors", safetensors({make_tensor("a", "F32", {1}, {1.0F})}));
    dir_.write(
        "two.safetensors",
        safetensors({make_tensor("b", "F32", {1}, {2.0F}), make_tensor("c", "F32", {1}, {3.0F})}));
  }

  void expect_error(StatusCode code, const std::vector<std::string>& parts) {
    const auto checkpoint = Checkpoint::open(dir_.path());
    ASSERT_FALSE(checkpoint.ok());
    EXPECT_EQ(checkpoint.status().code(), code) << checkpoint.status().message();
    for (const std::string& part : parts) {
      EXPECT_THAT(checkpoint.status().message(), HasSubstr(part));
    }
  }

  TempDir dir_;
};

TEST_F(CheckpointTest, SingleFile) {
  dir_.write("model.safetensors", safetensors({make_tensor("a", "F32", {1}, {1.0F})}));
  const auto checkpoint = Checkpoint::open(dir_.path()).value();
  EXPECT_EQ(checkpoint->names(), (std::vector<std::string>{"a"}));
  ASSERT_NE(checkpoint->find("a"), nullptr);
  EXPECT_EQ(checkpoint->find("A"), nullptr);
}

TEST_F(CheckpointTest, ShardsByIndex) {
  write_shards();
  dir_.write(kIndex,
             R"({"metadata":{"total_size":12},"weight_map":{"a":"one.safetensors",)"
             R"("b":"two.safetensors","c":"two.safetensors"}})");
  const auto checkpoint = Checkpoint::open(dir_.path()).value();
  EXPECT_EQ(checkpoint->names().size(), 3U);
  float value = 0;
  ASSERT_TRUE(
      checkpoint->find("c")->read(0, sizeof value, reinterpret_cast<std::byte*>(&value)).ok());
  EXPECT_EQ(value, 3.0F);
}

TEST_F(CheckpointTest, MissingShard) {
  write_shards();
  dir_.write(kIndex, R"({"weight_map":{"a":"one.safetensors","z":"three.safetensors"}})");
  expect_error(StatusCode::kNotFound,
               {dir_.file("three.safetensors"), "missing shard", dir_.file(kIndex), "2 shards"});
}

TEST_F(CheckpointTest, TensorInAnotherShard) {
  write_shards();
  dir_.write(kIndex, R"({"weight_map":{"b":"one.safetensors","c":"two.safetensors"}})");
  expect_error(StatusCode::kCorrupt,
               {dir_.file(kIndex), "tensor \"b\" into one.safetensors, which does not hold it"});
}

TEST_F(CheckpointTest, TensorInNoShard) {
  write_shards();
  dir_.write(kIndex, R"({"weight_map":{"nowhere":"one.safetensors"}})");
  expect_error(StatusCode::kCorrupt, {dir_.file(kIndex), "tensor \"nowhere\""});
}

TEST_F(CheckpointTest, TensorInTwoShards) {
  write_shards();
  dir_.write("again.safetensors", safetensors({make_tensor("a", "F32", {1}, {9.0F})}));
  dir_.write(kIndex, R"({"weight_map":{"a":"one.safetensors","x":"again.safetensors"}})");
  expect_error(StatusCode::kCorrupt,
               {"tensor \"a\" is also in", "one.safetensors", "again.safetensors"});
}

TEST_F(CheckpointTest, ShardNamesStayInTheDirectory) {
  write_shards();
  for (const char* name : {"../x.safetensors", "/etc/passwd", "sub/x.safetensors", "..", ".", ""}) {
    dir_.write(kIndex, fmt::format(R"({{"weight_map":{{"a":"{}"}}}})", name));
    expect_error(StatusCode::kCorrupt,
                 {dir_.file(kIndex), "weight_map[\"a\"] is not a file name in this directory"});
  }
  dir_.write(kIndex, R"({"weight_map":{"a":"one.safetensors\u0000"}})");
  expect_error(StatusCode::kCorrupt, {dir_.file(kIndex), "is not a file name"});
  dir_.write(kIndex, R"({"weight_map":{"a":7}})");
  expect_error(StatusCode::kCorrupt, {dir_.file(kIndex), "weight_map[\"a\"]"});
}

TEST_F(CheckpointTest, BadIndex) {
  dir_.write(kIndex, "{");
  expect_error(StatusCode::kInvalidArgument, {dir_.file(kIndex), "invalid JSON at line 1"});
  dir_.write(kIndex, "[]");
  expect_error(StatusCode::kCorrupt, {dir_.file(kIndex), "weight_map is missing"});
  dir_.write(kIndex, R"({"weight_map":[]})");
  expect_error(StatusCode::kCorrupt, {dir_.file(kIndex), "weight_map is missing or not an object"});
}

TEST_F(CheckpointTest, ShardIsADirectory) {
  std::filesystem::create_directory(dir_.file("s.safetensors"));
  dir_.write(kIndex, R"({"weight_map":{"a":"s.safetensors"}})");
  expect_error(StatusCode::kInvalidArgument,
               {dir_.file("s.safetensors") + ": is not a regular file"});
}

TEST_F(CheckpointTest, WeightsThatAreNoRegularFile) {
  std::filesystem::create_directory(dir_.file("model.safetensors"));
  expect_error(StatusCode::kInvalidArgument,
               {dir_.file("model.safetensors") + ": is not a regular file"});
  std::filesystem::remove(dir_.file("model.safetensors"));
  ASSERT_EQ(mkfifo(dir_.file("model.safetensors").c_str(), 0600), 0);
  expect_error(StatusCode::kInvalidArgument,
               {dir_.file("model.safetensors") + ": is not a regular file"});
}

TEST_F(CheckpointTest, NothingThere) {
  expect_error(StatusCode::kNotFound, {dir_.path(), "neither model.safetensors nor", "download"});
  EXPECT_EQ(Checkpoint::open(dir_.file("absent")).status().code(), StatusCode::kNotFound);
}

TEST_F(CheckpointTest, PickledWeightsAreNamedAndNotRead) {
  for (const char* name : {"pytorch_model.bin", "model.pt", "model.pth", "model.pkl"}) {
    const TempDir dir;
    dir.write(name, "never read");
    const auto checkpoint = Checkpoint::open(dir.path());
    ASSERT_FALSE(checkpoint.ok());
    EXPECT_EQ(checkpoint.status().code(), StatusCode::kUnsupported);
    EXPECT_THAT(checkpoint.status().message(), HasSubstr(name));
    EXPECT_THAT(checkpoint.status().message(), HasSubstr("can run code and are not read"));
  }
}

}  // namespace
}  // namespace tutti
