// What the doctor prints, and how it ends.
#include "doctor/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "doctor/machines.h"

namespace tutti::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

std::vector<std::string> keys(const Json& json) {
  std::vector<std::string> out;
  for (const JsonMember& member : json.as_object()) {
    out.push_back(member.key);
  }
  return out;
}

DoctorReport report_of(const Inventory& machine) {
  return {.findings = examine({.inventory = machine}), .seconds = 1.5};
}

TEST(DoctorReport, JsonOfSchemaOne) {
  Inventory machine = sound_machine();
  machine.gpus[6].clock_reasons = {"hw_thermal"};
  machine.counts.nvml = 7;
  const Json json = report_json(report_of(machine), machine);
  EXPECT_THAT(keys(json), ElementsAre("schema", "severity", "seconds", "checks", "inventory"));
  EXPECT_EQ(json.find("schema")->as_int(), 1);
  EXPECT_EQ(json.find("severity")->as_string(), "error");
  EXPECT_EQ(json.find("seconds")->as_number(), 1.5);
  const JsonArray& checks = json.find("checks")->as_array();
  EXPECT_EQ(checks.size(), all_checks().size());
  for (const Json& check : checks) {
    EXPECT_THAT(keys(check),
                ElementsAre("id", "severity", "what", "evidence", "remedy", "seconds"));
    EXPECT_TRUE(check.find("evidence")->is_object());
    EXPECT_TRUE(check.find("remedy")->is_string());
  }
  // The inventory in it is a file of --dump.
  const Result<Inventory> again = parse_inventory(to_string(*json.find("inventory")), "report");
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(to_json(*again), to_json(machine));
}

TEST(DoctorReport, AFileGivesTheSameFindings) {
  Inventory machine = sound_machine();
  machine.links[3].data_test = "hang";
  machine.driver.xids = {{.pci = "0000:18:00", .code = 79}};
  machine.host.acs_redirect = true;
  const Result<Inventory> read = parse_inventory(to_json(machine), "file");
  ASSERT_TRUE(read.ok()) << read.status().message();
  const std::vector<Finding> here = examine({.inventory = machine});
  const std::vector<Finding> there = examine({.inventory = *read});
  ASSERT_EQ(here.size(), there.size());
  for (size_t i = 0; i < here.size(); ++i) {
    EXPECT_EQ(here[i].outcome.severity, there[i].outcome.severity) << here[i].id;
    EXPECT_EQ(here[i].outcome.what, there[i].outcome.what);
    EXPECT_EQ(here[i].outcome.remedy, there[i].outcome.remedy);
  }
}

TEST(DoctorReport, SeveritiesAndExitCodes) {
  EXPECT_EQ(exit_code_of(Severity::kOk), 0);
  EXPECT_EQ(exit_code_of(Severity::kInfo), 0);
  EXPECT_EQ(exit_code_of(Severity::kWarning), 1);
  EXPECT_EQ(exit_code_of(Severity::kError), 2);
  Finding skipped{.id = "a", .outcome = {.severity = Severity::kSkipped}};
  EXPECT_EQ(worst({skipped}), Severity::kOk);
  EXPECT_EQ(worst({}), Severity::kOk);
}

TEST(DoctorReport, TheWorstComesFirst) {
  Inventory machine = sound_machine();
  machine.gpus[6].clock_reasons = {"hw_thermal"};
  machine.counts.nvml = 7;
  const std::string text = report_text(report_of(machine));
  EXPECT_THAT(text, StartsWith("error    gpu.count: 8 GPUs on the PCI bus, 7 shown"));
  EXPECT_LT(text.find("error    gpu.last_good"), text.find("warning  gpu.throttle"));
  EXPECT_THAT(text, HasSubstr("2 errors"));
}

TEST(DoctorReport, LaunchesAreWarnedInALineEach) {
  Inventory machine = sound_machine();
  EXPECT_THAT(launch_lines(examine({.inventory = machine})), IsEmpty());
  machine.gpus[6].clock_reasons = {"idle", "hw_thermal"};
  machine.limits.nofile = 1024;  // worth knowing, and no more
  const std::vector<std::string> lines = launch_lines(examine({.inventory = machine}));
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_THAT(lines[0], StartsWith("doctor: gpu.throttle: GPU 6 is slowed down"));
  EXPECT_THAT(lines[0], HasSubstr(". To do: look at fans"));
}

}  // namespace
}  // namespace tutti::test
