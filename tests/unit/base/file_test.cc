#include "base/file.h"

#include <filesystem>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tutti {
namespace {

namespace fs = std::filesystem;

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("tutti-file-" + std::to_string(getpid()));
    fs::create_directory(directory_);
  }

  void TearDown() override { fs::remove_all(directory_); }

  std::string file(const std::string& content) const {
    const std::string path = (directory_ / "file").string();
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  // A FIFO that `content` is written into once somebody reads it.
  std::string pipe_with(const std::string& content) {
    const std::string path = (directory_ / "pipe").string();
    EXPECT_EQ(mkfifo(path.c_str(), 0600), 0);
    writer_ = std::jthread([path, content] { std::ofstream(path, std::ios::binary) << content; });
    return path;
  }

  fs::path directory_;
  std::jthread writer_;
};

TEST_F(FileTest, AFileIsReadWhole) {
  const std::string content("a\0b\r\nc", 6);
  const std::string path = file(content);
  EXPECT_EQ(read_file(path).value(), content);
  EXPECT_EQ(read_input(path).value(), content);
  EXPECT_EQ(read_input(path, 6).value(), content);
  EXPECT_EQ(read_input(path, 5).status().message(), path + ": larger than the limit of 5 bytes");
}

TEST_F(FileTest, APipeIsInputButNoFileOfAModel) {
  const std::string content(100'000, 'x');  // more than a pipe holds
  const std::string path = pipe_with(content);
  EXPECT_EQ(read_file(path).status().message(), path + ": is not a regular file");
  EXPECT_EQ(read_input(path).value(), content);
}

TEST_F(FileTest, WhatHasNoEndIsRefusedAtTheLimit) {
  const Result<std::string> none = read_input("/dev/zero", 1000);
  EXPECT_EQ(none.status().code(), StatusCode::kPayloadTooLarge);
  EXPECT_EQ(none.status().message(), "/dev/zero: larger than the limit of 1000 bytes");
  EXPECT_EQ(read_input("/dev/null").value(), "");
}

TEST_F(FileTest, WhatCannotBeReadSaysWhy) {
  const std::string nowhere = (directory_ / "nowhere").string();
  EXPECT_EQ(read_input(nowhere).status().message(), nowhere + ": no such file");
  EXPECT_EQ(read_input(nowhere).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(read_input(directory_.string()).status().message(),
            directory_.string() + ": is a directory, wanted a file");
}

}  // namespace
}  // namespace tutti
