// The table of tutti top, letter for letter, at two widths.
#include "watch/top_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "watch/eight_gpus.h"

namespace tutti::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::stringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(line);
  }
  return lines;
}

TEST(TopTable, EightyColumns) {
  EXPECT_EQ(top_table(eight_gpus(), {.columns = 80}), R"(tutti top  2026-11-30T22:20:00Z
8 GPUs: 83% busy, 974 of 1055 GB, 3800 W
GPU busy              memory                temp   MHz     power
* 0 [||||||||||]  97% [||||||| ] 139.1/151G  58C  1980  610/700W
* 1 [||||||||||]  95% [||||||| ] 139.1/151G  61C  1965  612/700W
* 2 [||||||||||]  98% [||||||| ] 139.1/151G  64C  1950  612/700W
* 3 [||||||||||]  96% [||||||| ] 139.2/151G  67C  1935  614/700W
* 4 [||||||||||]  97% [||||||| ] 139.2/151G  70C  1920  614/700W
* 5 [          ]   2% [||||||| ] 139.2/151G  73C  1905  121/700W idle
* 6 [||||||||||]  99% [||||||| ] 139.2/151G  91C  1890  616/700W ecc hot
  7 [          ]    - [        ]          -    -     -         - LOST xid79
22:18:07 GPU 6 (0000:78:00.0) is slowed down: hw_thermal (all ranks wait for it)
22:19:20 GPU 7: the driver reports error Xid 79
)");
}

TEST(TopTable, AHundredAndSixtyColumns) {
  EXPECT_EQ(top_table(eight_gpus(), {.columns = 160}), R"(tutti top  2026-11-30T22:20:00Z
8 GPUs: 83% busy, 974 of 1055 GB, 3800 W
GPU name                 busy                        memory                    temp   MHz     power PCIe in out               programs
* 0 NVIDIA H200          [||||||||||||||||||| ]  97% [||||||||||| ] 139.1/151G  58C  1980  610/700W   3.5   1.2               tutti 138.5G
* 1 NVIDIA H200          [||||||||||||||||||| ]  95% [||||||||||| ] 139.1/151G  61C  1965  612/700W   3.5   1.2               tutti 138.5G
* 2 NVIDIA H200          [||||||||||||||||||||]  98% [||||||||||| ] 139.1/151G  64C  1950  612/700W   3.5   1.2               tutti 138.5G
* 3 NVIDIA H200          [||||||||||||||||||| ]  96% [||||||||||| ] 139.2/151G  67C  1935  614/700W   3.5   1.2               tutti 138.5G
* 4 NVIDIA H200          [||||||||||||||||||| ]  97% [||||||||||| ] 139.2/151G  70C  1920  614/700W   3.5   1.2               tutti 138.5G
* 5 NVIDIA H200          [                    ]   2% [||||||||||| ] 139.2/151G  73C  1905  121/700W   3.5   1.2  idle         tutti 138.5G
* 6 NVIDIA H200          [||||||||||||||||||||]  99% [||||||||||| ] 139.2/151G  91C  1890  616/700W   3.5   1.2  ecc hot      tutti 138.5G
  7 -                    [                    ]    - [            ]          -    -     -         -     -     -  LOST xid79
2026-11-30T22:18:07Z GPU 6 (0000:78:00.0) is slowed down: hw_thermal (all ranks wait for it)
2026-11-30T22:19:20Z GPU 7: the driver reports error Xid 79
)");
}

TEST(TopTable, NoLineIsWiderThanTheTerminal) {
  for (int columns = 20; columns <= 200; ++columns) {
    for (const std::string& line : lines_of(top_table(eight_gpus(), {.columns = columns}))) {
      EXPECT_LE(line.size(), static_cast<size_t>(columns)) << columns << ": " << line;
    }
  }
}

TEST(TopTable, RowsOfTheTerminalBoundTheNotices) {
  GpuStatus status = eight_gpus();
  for (int i = 0; i < 50; ++i) {
    status.notices.push_back({.time = "t", .gpu = 0, .text = "number " + std::to_string(i)});
  }
  const std::string text = top_table(status, {.columns = 80, .rows = 24});
  EXPECT_LT(lines_of(text).size(), 24U);
  EXPECT_THAT(text, HasSubstr("number 49"));
  EXPECT_THAT(text, Not(HasSubstr("number 1\n")));
}

TEST(TopTable, ColoursTakeNoRoom) {
  const std::string plain = top_table(eight_gpus(), {.columns = 80});
  std::string coloured = top_table(eight_gpus(), {.columns = 80, .colour = true});
  EXPECT_NE(plain, coloured);
  for (size_t at = coloured.find('\x1b'); at != std::string::npos; at = coloured.find('\x1b')) {
    coloured.erase(at, coloured.find('m', at) + 1 - at);
  }
  EXPECT_EQ(plain, coloured);
}

TEST(TopTable, NamesOfOthersCannotMoveTheCursor) {
  GpuStatus status;
  status.error = "bad \x1b[2J";
  GpuReading& gpu = status.gpus.emplace_back();
  gpu.name = "x\x1b[31m\nforged";
  gpu.processes = {{.name = "y\x1b[2J"}};
  const std::string text = top_table(status, {.columns = 160});
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(lines_of(text).size(), 5U);
}

TEST(TopTable, OfNothing) {
  EXPECT_THAT(top_table({}, {}), HasSubstr("no GPU is shown"));
}

}  // namespace
}  // namespace tutti::test
