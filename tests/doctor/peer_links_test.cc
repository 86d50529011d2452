// From pairs that were tested to links of an inventory.
#include "doctor/peer_links.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "doctor/machines.h"

namespace tutti::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// NVML's numbers are 0, 1, 2; CUDA counts 2, 0, 1.
Inventory three() {
  Inventory m;
  for (int64_t i = 0; i < 3; ++i) {
    m.gpus.push_back(sound_gpu(i));
    m.gpus.back().index = (i + 2) % 3;
  }
  m.links = {{.a = 0, .b = 1}, {.a = 0, .b = 2}, {.a = 1, .b = 2}};
  return m;
}

std::vector<std::string> words(const Inventory& m) {
  std::vector<std::string> out;
  for (const GpuLink& link : m.links) {
    out.push_back(link.data_test.value_or("null"));
  }
  return out;
}

TEST(PeerLinks, TheWorseOfBothWaysCounts) {
  Inventory m = three();
  PeerReport report{.pairs = peer_pairs({2, 0, 1})};
  for (PeerResult& pair : report.pairs) {
    pair.verdict = PeerVerdict::kOk;
    if (pair.from == 2 && pair.to == 0) {  // GPU 0 to 1 of NVML
      pair.verdict = PeerVerdict::kWrongData;
    }
    if (pair.from == 1 && pair.to == 2) {  // GPU 2 to 0
      pair.verdict = PeerVerdict::kHang;
    }
  }
  add_peer_results(report, m);
  EXPECT_THAT(words(m), ElementsAre("fail", "hang", "pass"));
  ASSERT_EQ(m.errors.size(), 1U);
  EXPECT_THAT(m.errors[0].text, HasSubstr("hangs"));
}

TEST(PeerLinks, NoAccessIsNoTest) {
  Inventory m = three();
  PeerReport report{.pairs = peer_pairs({2, 0, 1})};
  for (PeerResult& pair : report.pairs) {
    pair.verdict = PeerVerdict::kUnsupported;
  }
  add_peer_results(report, m);
  EXPECT_THAT(words(m), ElementsAre("not_run", "not_run", "not_run"));
}

TEST(PeerLinks, AloneButNotTogether) {
  Inventory m = three();
  PeerReport report{.pairs = peer_pairs({2, 0, 1}),
                    .beside = "the test of all pairs together hangs"};
  for (PeerResult& pair : report.pairs) {
    pair.verdict = PeerVerdict::kOk;
  }
  add_peer_results(report, m);
  EXPECT_THAT(words(m), ElementsAre("fail", "fail", "fail"));
}

TEST(PeerLinks, WhichGpusAreTested) {
  Inventory m = three();
  EXPECT_THAT(gpus_to_test(m), ElementsAre(2, 0, 1));
  m.gpus[0].mig = true;
  m.gpus[1].index.reset();
  EXPECT_THAT(gpus_to_test(m), ElementsAre(1));
}

}  // namespace
}  // namespace tutti::test
