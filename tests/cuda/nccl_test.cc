// What is said where NCCL is missing or cannot do what is asked. Needs no GPU; sums by it are
// checked by tutti bench allreduce (tools/gpu/run --only nccl).
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

#include "cuda/comm/nccl_communicator.h"

namespace tutti::cuda {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Nccl, ALibraryThatDoesNotLoadIsNamedWithTheReason) {
  if (const auto installed = NcclLibrary::open({}); installed.ok()) {
    EXPECT_THAT((*installed)->version(), ::testing::StartsWith("2."));
    return;  // it is found before any directory
  }
  const std::string directory = ::testing::TempDir() + "nccl_test";
  const std::string file = directory + "/libnccl.so.2";
  std::filesystem::create_directories(directory);
  std::ofstream(file) << "no library";
  const auto opened = NcclLibrary::open({directory});
  std::filesystem::remove_all(directory);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(opened.status().message(),
              AllOf(HasSubstr(file + " ("), HasSubstr("libnccl2"), HasSubstr("nvidia-nccl-cu13")));
}

TEST(Nccl, TwoRanksOnOneGpuAreRefusedBeforeNcclIsAsked) {
  const std::vector<CudaDeviceInfo> placement{{.index = 0}, {.index = 1}, {.index = 0}};
  const auto group = NcclGroup::create(nullptr, placement);
  ASSERT_FALSE(group.ok());
  EXPECT_EQ(group.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(group.status().message(), HasSubstr("ranks 0 and 2 on cuda:0"));
}

}  // namespace
}  // namespace tutti::cuda
