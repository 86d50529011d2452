// What is looked at after loading: memory of each pool, and sums over the ranks.
#include "engine/ranks/load_check.h"

#include <gmock/gmock.h>

#include "backend/cpu_backend.h"
#include "engine/ranks/ranked_model_runner.h"
#include "golden/wrapped_backend.h"

namespace tutti {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kGb = 1'000'000'000;

// Workspaces of 1 GB, of which half is code that the ranks' own count does not know.
MemoryPlan pool(int64_t planned, int64_t held, int ranks = 1) {
  return {.pool = "cuda:3 (NVIDIA H200)",
          .ranks = ranks,
          .weights = planned - kGb,
          .overhead = kGb,
          .measured = held + kGb / 2,
          .held = held};
}

TEST(LoadCheck, SharesMayDifferBy3PercentOr400Megabytes) {
  EXPECT_TRUE(check_shares({pool(80 * kGb, 82 * kGb), pool(80 * kGb, 77 * kGb)}).ok());
  EXPECT_TRUE(check_shares({pool(2 * kGb, 2 * kGb + 399'000'000)}).ok());
  EXPECT_TRUE(check_shares({pool(2 * kGb, kGb - 399'000'000)}).ok())
      << "all of the workspaces is code";
  EXPECT_TRUE(check_shares({pool(5 * kGb, kGb, 8)}).ok()) << "ranks share a library";
  const Status little = check_shares({pool(80 * kGb, 80 * kGb), pool(80 * kGb, 0)});
  EXPECT_EQ(little.code(), StatusCode::kDevice);
  EXPECT_THAT(little.message(), HasSubstr("cuda:3 (NVIDIA H200) holds 0 B"));
  EXPECT_THAT(little.message(), HasSubstr("is not there"));
  EXPECT_THAT(check_shares({pool(80 * kGb, 83 * kGb)}).message(), HasSubstr("more than its share"));
  EXPECT_FALSE(check_shares({pool(2 * kGb, 2 * kGb + 401'000'000)}).ok());
}

// Of tests beside this one, of a server that ends: a launch must not fail because others come and
// go.
TEST(LoadCheck, WhatOtherProgramsTakeOrGiveBackIsNotTheModels) {
  for (const int64_t others : {-30 * kGb, 30 * kGb}) {
    MemoryPlan plan = pool(8 * kGb, 8 * kGb);
    plan.measured += others;
    EXPECT_TRUE(check_shares({plan}).ok()) << others;
  }
}

// Adds as its inner one, but rank `rank` finds one number changed.
class WrongSums final : public Communicator {
 public:
  WrongSums(std::unique_ptr<Communicator> inner, int64_t from)
      : inner_(std::move(inner)), from_(from) {}

  int rank() const override { return inner_->rank(); }

  int size() const override { return inner_->size(); }

  void all_reduce_sum(TensorView x) override {
    inner_->all_reduce_sum(x);
    if (x.numel() >= from_ && rank() == 1) {
      x.data<float>()[17] += 1;
    }
  }

  void all_gather_columns(TensorView out,
                          ConstTensorView in,
                          std::span<const int64_t> widths) override {
    inner_->all_gather_columns(out, in, widths);
  }

  void exchange_rows(const ExchangeRows& args) override { inner_->exchange_rows(args); }

  void broadcast(const Broadcast& args) override { inner_->broadcast(args); }

  void barrier() override { inner_->barrier(); }

 private:
  std::unique_ptr<Communicator> inner_;
  int64_t from_;
};

testing::WrappedBackend wrong_backend(int64_t from) {
  return {make_cpu_backend({.threads = 2}), [from](RankResources& rank) {
            rank.tp = std::make_unique<WrongSums>(std::move(rank.tp), from);
            return std::move(rank.ops);
          }};
}

Status load(Backend& backend, int ranks) {
  ModelLoadOptions options;
  options.directory = std::string(TUTTI_SOURCE_DIR) + "/tests/golden/fixtures/dsv3_fp8";
  options.ranks = ranks;
  return RankedModelRunner::load(backend, options).status();
}

TEST(LoadCheck, AModelWhoseRanksDoNotAddUpDoesNotStart) {
  // Wrong sums of any size, and of large ones only: those that travel in another way.
  for (const int64_t from : {int64_t{1}, int64_t{1} << 20}) {
    testing::WrappedBackend wrong = wrong_backend(from);
    const Status status = load(wrong, 2);
    EXPECT_EQ(status.code(), StatusCode::kDevice);
    EXPECT_THAT(status.message(), HasSubstr("rank 1"));
    EXPECT_THAT(status.message(), HasSubstr("wanted"));
    EXPECT_THAT(status.message(), HasSubstr(from == 1 ? "1024 numbers" : "1048576 numbers"));
  }
  testing::WrappedBackend alone = wrong_backend(1);
  EXPECT_TRUE(load(alone, 1).ok()) << "a group of one has nothing to add";
  const std::unique_ptr<Backend> right = make_cpu_backend({.threads = 2});
  EXPECT_TRUE(load(*right, 2).ok());
}

}  // namespace
}  // namespace tutti
