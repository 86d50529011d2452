#include "base/tuning_cache.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

namespace tutti {
namespace {

namespace fs = std::filesystem;

class TuningCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("tutti-tuning-" + std::to_string(getpid()));
    fs::remove_all(directory_);
  }

  void TearDown() override { fs::remove_all(directory_); }

  std::string only_file() const {
    std::string found;
    for (const auto& entry : fs::directory_iterator(directory_)) {
      EXPECT_TRUE(found.empty()) << "two files";
      found = entry.path().string();
    }
    return found;
  }

  fs::path directory_;
};

TEST_F(TuningCacheTest, KeepsValuesFromOneRunToTheNext) {
  TuningCache first((directory_ / "new").string(), "GPU A, driver 1");
  EXPECT_EQ(first.find("k"), std::nullopt);
  first.put("k", "3 of 8");
  first.put("other key", "x");
  first.put("k", "4 of 8");
  ASSERT_TRUE(first.save().ok());
  const TuningCache second((directory_ / "new").string(), "GPU A, driver 1");
  EXPECT_EQ(second.find("k"), "4 of 8");
  EXPECT_EQ(second.find("other key"), "x");
  EXPECT_EQ(second.size(), 2U);
}

TEST_F(TuningCacheTest, AnotherIdentitySeesNothing) {
  TuningCache first(directory_.string(), "GPU A, driver 1");
  first.put("k", "1");
  ASSERT_TRUE(first.save().ok());
  TuningCache other(directory_.string(), "GPU A, driver 2");
  EXPECT_EQ(other.size(), 0U);
  // Also where the names of the files meet.
  const std::string path = only_file();
  std::ofstream(path) << "tutti tuning 1\tGPU B\nk\t1\n";
  EXPECT_EQ(TuningCache(directory_.string(), "GPU A, driver 1").size(), 0U);
}

TEST_F(TuningCacheTest, DamagedFilesCountAsEmptyAndAreReplaced) {
  TuningCache first(directory_.string(), "id");
  first.put("k", "1");
  ASSERT_TRUE(first.save().ok());
  const std::string path = only_file();
  for (const std::string& damaged : {std::string(), std::string("\0\xFF", 2), std::string("x")}) {
    std::ofstream(path, std::ios::trunc) << damaged;
    TuningCache again(directory_.string(), "id");
    EXPECT_EQ(again.size(), 0U);
    again.put("k", "2");
    ASSERT_TRUE(again.save().ok());
    EXPECT_EQ(TuningCache(directory_.string(), "id").find("k"), "2");
  }
}

TEST_F(TuningCacheTest, WhereNothingCanBeWrittenSaveSaysSo) {
  std::ofstream(directory_.string()) << "a file";
  TuningCache cache(directory_.string(), "id");
  cache.put("k", "1");
  const Status status = cache.save();
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find(directory_.string()), std::string::npos) << status.message();
  EXPECT_EQ(cache.find("k"), "1");
}

TEST_F(TuningCacheTest, WithoutADirectoryNothingIsKept) {
  TuningCache cache("", "id");
  cache.put("k", "1");
  EXPECT_EQ(cache.find("k"), "1");
  EXPECT_TRUE(cache.save().ok());
  EXPECT_FALSE(fs::exists(directory_));
}

}  // namespace
}  // namespace tutti
