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
      checkpoint
          ->read(*checkpoint->find("c"), 0, sizeof value, reinterpret_cast<std::byte*>(&value))
          .ok());
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

std::string one_tensor(const char* name) {
  return safetensors({make_tensor(name, "F32", {1}, {1.0F})});
}

TEST_F(CheckpointTest, NumberedShardsNeedNoIndex) {
  for (const char* prefix : {"model", "pytorch_model", "my-model.v2"}) {
    const TempDir dir;
    dir.write(fmt::format("{}-00001-of-00002.safetensors", prefix), one_tensor("a"));
    dir.write(fmt::format("{}-00002-of-00002.safetensors", prefix), one_tensor("b"));
    const auto checkpoint = Checkpoint::open(dir.path());
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
    EXPECT_EQ((*checkpoint)->names(), (std::vector<std::string>{"a", "b"}));
  }
}

TEST_F(CheckpointTest, NumberedShardsMustAllBeThere) {
  dir_.write("model-00001-of-00003.safetensors", one_tensor("a"));
  expect_error(StatusCode::kNotFound, {dir_.path(), "1 of 3 shards", "number 2 is not"});
  dir_.write("model-00003-of-00003.safetensors", one_tensor("c"));
  expect_error(StatusCode::kNotFound, {"2 of 3 shards", "number 2 is not"});
  dir_.write("model-00002-of-00003.safetensors", one_tensor("b"));
  EXPECT_TRUE(Checkpoint::open(dir_.path()).ok());
  dir_.write("model-00004-of-00003.safetensors", one_tensor("d"));
  EXPECT_FALSE(Checkpoint::open(dir_.path()).ok());
}

TEST_F(CheckpointTest, ShardsOfTwoModelsAreNotMixed) {
  dir_.write("model-00001-of-00002.safetensors", one_tensor("a"));
  dir_.write("other-00002-of-00002.safetensors", one_tensor("b"));
  expect_error(StatusCode::kNotFound, {"no index", "model-00001-of-00002.safetensors, other-"});
}

TEST_F(CheckpointTest, TheOnlyOtherFileIsTheModel) {
  dir_.write("weights.safetensors", one_tensor("a"));
  EXPECT_TRUE(Checkpoint::open(dir_.path()).ok());
  dir_.write("consolidated.safetensors", one_tensor("b"));
  expect_error(StatusCode::kNotFound,
               {"consolidated.safetensors, weights.safetensors", "no index"});
  dir_.write("model.safetensors", one_tensor("c"));  // the format's own name decides
  EXPECT_EQ(Checkpoint::open(dir_.path()).value()->names(), (std::vector<std::string>{"c"}));
}

TEST_F(CheckpointTest, AnotherNameOfTheIndex) {
  write_shards();
  dir_.write(
      "pytorch_model.safetensors.index.json",
      R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors","c":"two.safetensors"}})");
  EXPECT_EQ(Checkpoint::open(dir_.path()).value()->names().size(), 3U);
}

TEST_F(CheckpointTest, AdaptersAndGgufAreNamedWithTheNextStep) {
  dir_.write("adapter_model.safetensors", one_tensor("a"));
  expect_error(StatusCode::kUnsupported, {"LoRA adapter", "merge"});
  const TempDir gguf;
  gguf.write("model-Q4_K_M.gguf", "GGUF");
  const auto checkpoint = Checkpoint::open(gguf.path());
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(checkpoint.status().code(), StatusCode::kUnsupported);
  EXPECT_THAT(checkpoint.status().message(), HasSubstr("model-Q4_K_M.gguf"));
  EXPECT_THAT(checkpoint.status().message(), HasSubstr("safetensors form"));
}

TEST_F(CheckpointTest, FilesThatAreNotWhatTheirNamesSay) {
  struct Case {
    std::string content;
    StatusCode code;
    const char* part;
  };

  const std::string zip("PK\x03\x04\x00\x00\x08\x08\x00\x00 archive/data.pkl", 26);
  const std::string pickle(
      "\x80\x02\x8a\x0al\xfc\x9c"
      "F\xf9 j\xa8P\x19.",
      15);
  for (const Case& c :
       {Case{"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
             StatusCode::kCorrupt,
             "Git LFS"},
        Case{
            "<!DOCTYPE html><html><title>Sign in</title></html>", StatusCode::kCorrupt, "web page"},
        Case{"GGUF\x03 something longer", StatusCode::kUnsupported, "GGUF"},
        Case{zip, StatusCode::kUnsupported, "pickled"},
        Case{pickle, StatusCode::kUnsupported, "pickled"}}) {
    dir_.write("model.safetensors", c.content);
    expect_error(c.code, {dir_.file("model.safetensors"), c.part});
  }
}

TEST_F(CheckpointTest, ALinkToNowhereSaysSo) {
  std::filesystem::create_symlink("../../blobs/0123", dir_.file("model.safetensors"));
  expect_error(StatusCode::kNotFound,
               {dir_.file("model.safetensors"), "link to ../../blobs/0123", "cp -L"});
}

}  // namespace
}  // namespace tutti
