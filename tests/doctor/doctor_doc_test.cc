// docs/doctor.md lists all checks: the table is written from the code.
#include <gtest/gtest.h>

#include "base/known_failures.h"
#include "doc_tables.h"
#include "doctor/check.h"

namespace tutti {
namespace {

std::string checks_table() {
  std::string out = "| id | what should be | looks at |\n|---|---|---|\n";
  for (const Check& check : all_checks()) {
    out += fmt::format("| `{}` | {} | {} |\n", check.id, check.question, check.looks_at);
  }
  return out;
}

// In a table of Markdown a star would begin italics.
std::string escaped(const char* pattern) {
  std::string out;
  for (const char* c = pattern; *c != '\0'; ++c) {
    out += *c == '*' ? std::string(" … ") : std::string(1, *c);
  }
  return out;
}

std::string failures_table() {
  std::string out = "| seen | cause | do |\n|---|---|---|\n";
  for (const KnownFailure& failure : known_failures()) {
    out += fmt::format(
        "| `{}` | {} | {} |\n", escaped(failure.pattern), failure.cause, failure.remedy);
  }
  return out;
}

TEST(DoctorDoc, TablesAreWhatTheCodeSays) {
  testing::expect_tables("docs/doctor.md", {{"checks", checks_table()}});
  testing::expect_tables("docs/troubleshooting.md", {{"failures", failures_table()}});
}

}  // namespace
}  // namespace tutti
