#include "apps/cli.h"

int main(int argc, char** argv) {
  return tutti::run_cli(argc, argv);
}
