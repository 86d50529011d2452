#include "apps/line_history.h"

#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"

namespace tutti {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LineHistoryTest : public ::testing::Test {
 protected:
  LineHistoryTest() { fs::create_directories(folder_); }

  ~LineHistoryTest() override { fs::remove_all(folder_); }

  const fs::path folder_ = fs::temp_directory_path() / fmt::format("tutti_history_{}", getpid());
  const std::string path_ = (folder_ / "state" / "history").string();
};

TEST_F(LineHistoryTest, LinesComeBackAsTheyWere) {
  LineHistory first(path_);
  EXPECT_THAT(first.lines(), IsEmpty());
  for (const char* line : {"one\ntwo", "\"quoted\" \\ grün", "again", "again", "\xff"}) {
    first.add(line);
  }
  first.add(std::string(LineHistory::kMostBytes + 1, 'x'));
  EXPECT_THAT(LineHistory(path_).lines(), ElementsAre("one\ntwo", "\"quoted\" \\ grün", "again"));
}

TEST_F(LineHistoryTest, TwoChatsAddToOneFile) {
  LineHistory a(path_);
  LineHistory b(path_);
  a.add("of a");
  b.add("of b");
  a.add("of a again");
  EXPECT_THAT(LineHistory(path_).lines(), ElementsAre("of a", "of b", "of a again"));
}

TEST_F(LineHistoryTest, TheNewestAreKept) {
  LineHistory history(path_);
  constexpr int kLines = 2 * LineHistory::kMostLines + 5;
  for (int i = 0; i < kLines; ++i) {
    history.add(std::to_string(i));
  }
  const auto size = fs::file_size(path_);
  const LineHistory later(path_);
  ASSERT_EQ(later.lines().size(), size_t{LineHistory::kMostLines});
  EXPECT_EQ(later.lines().front(), std::to_string(kLines - LineHistory::kMostLines));
  EXPECT_EQ(later.lines().back(), std::to_string(kLines - 1));
  EXPECT_LT(fs::file_size(path_), size);
  EXPECT_EQ(LineHistory(path_).lines(), later.lines());
}

TEST_F(LineHistoryTest, ADamagedFileCostsItsDamagedLines) {
  fs::create_directories(fs::path(path_).parent_path());
  std::ofstream(path_) << "\"good\"\n\"half\nnonsense\n[1]\n\n\"also good\"\n\"no end";
  EXPECT_THAT(LineHistory(path_).lines(), ElementsAre("good", "also good"));
}

TEST_F(LineHistoryTest, WithoutAFileThereIsNone) {
  LineHistory nowhere("");
  nowhere.add("a");
  EXPECT_THAT(nowhere.lines(), IsEmpty());
  LineHistory impossible("/proc/none/history");
  impossible.add("a");  // and no error
  EXPECT_FALSE(file_exists("/proc/none/history"));
}

}  // namespace
}  // namespace tutti
