#include "loadgen/dataset.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

namespace tutti::loadgen {
namespace {

class DatasetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / fmt::format("tutti_dataset_{}", getpid());
    std::filesystem::create_directories(folder_);
  }

  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }

 private:
  std::filesystem::path folder_;
};

TEST_F(DatasetTest, OnePromptPerLine) {
  const auto entries = read_dataset(write("a.txt", "first\r\n\nsecond {\"prompt\":1}"));
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->size(), 2U);
  EXPECT_EQ((*entries)[0].prompt, "first");
  EXPECT_EQ((*entries)[1].prompt, "second {\"prompt\":1}");
}

TEST_F(DatasetTest, JsonLinesOfEveryShape) {
  const auto entries = read_dataset(
      write("a.jsonl",
            R"({"prompt":"p","output_tokens":5})"
            "\n"
            R"({"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}]})"
            "\n"
            R"({"conversations":[{"from":"gpt","value":"g"},{"from":"human","value":"h"}]})"
            "\n"
            R"({"conversations":[]})"
            "\n"));
  ASSERT_TRUE(entries.ok()) << entries.status().message();
  ASSERT_EQ(entries->size(), 3U);
  EXPECT_EQ((*entries)[0].output_tokens, 5);
  EXPECT_EQ((*entries)[1].prompt, "s\nu");
  EXPECT_TRUE((*entries)[1].messages.is_array());
  EXPECT_EQ((*entries)[2].prompt, "h");
}

TEST_F(DatasetTest, ShareGptArray) {
  const auto entries = read_dataset(write(
      "a.json",
      R"([{"id":"x","conversations":[{"from":"human","value":"h"},{"from":"gpt","value":"g"}]}])"));
  ASSERT_TRUE(entries.ok()) << entries.status().message();
  ASSERT_EQ(entries->size(), 1U);
  EXPECT_EQ((*entries)[0].prompt, "h");
}

TEST_F(DatasetTest, MistakesSayWhere) {
  const auto broken = read_dataset(write("b.jsonl", "{\"prompt\":\"p\"}\n{\"prompt\n"));
  ASSERT_FALSE(broken.ok());
  EXPECT_NE(broken.status().message().find("b.jsonl:2"), std::string::npos)
      << broken.status().message();
  EXPECT_FALSE(read_dataset(write("c.txt", "\n\n")).ok());
  EXPECT_FALSE(read_dataset(write("d.json", "{}")).ok());
  EXPECT_FALSE(read_dataset(write("e.txt", "\xFF\xFE")).ok());
  EXPECT_FALSE(read_dataset("/nonexistent/file.txt").ok());
}

}  // namespace
}  // namespace tutti::loadgen
