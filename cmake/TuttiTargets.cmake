# tutti_library(NAME base SOURCES a.cc ... DEPS tutti_x ... PRIVATE_DEPS ...)
#   one static, position-independent library `tutti_<name>` per folder of src/.
function(tutti_library)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(tutti_${ARG_NAME} STATIC ${ARG_SOURCES})
  target_include_directories(tutti_${ARG_NAME} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(tutti_${ARG_NAME} PUBLIC ${ARG_DEPS} PRIVATE tutti_warnings ${ARG_PRIVATE_DEPS})
  set_property(GLOBAL APPEND PROPERTY TUTTI_LIBRARIES tutti_${ARG_NAME})
endfunction()

# Flags of a test program, and of the header that all of them precompile.
function(tutti_test_flags name)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_compile_definitions(${name} PRIVATE TUTTI_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  # Half of the time to compile them; what they test is compiled as it ships.
  if(TUTTI_SANITIZE)
    target_compile_options(${name} PRIVATE -O0)
    if(NOT TUTTI_UBSAN_TESTS)
      target_compile_options(${name} PRIVATE -fno-sanitize=undefined)
    endif()
  else()
    target_compile_options(${name} PRIVATE $<$<CONFIG:RelWithDebInfo>:-O1>)
  endif()
  target_link_libraries(${name} PRIVATE tutti_warnings fmt::fmt GTest::gmock GTest::gtest_main)
endfunction()

# An executable, since a precompiled header fits only what is compiled with the same flags.
function(tutti_precompile_for_tests)
  file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/tests_pch.cc CONTENT "")
  add_executable(tutti_tests_pch EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/tests_pch.cc)
  tutti_test_flags(tutti_tests_pch)
  target_precompile_headers(tutti_tests_pch PRIVATE
    <algorithm> <memory> <string> <string_view> <vector> <fmt/format.h> <gmock/gmock.h> <gtest/gtest.h>)
endfunction()

# tutti_test(NAME status_test SOURCES ... DEPS ... LABELS threads|slow|gpu|numbers ...)
#   numbers: results only, no code that other tests do not run; sanitizers find nothing new there (TUTTI_NUMBERS).
#   e2e: starts the program (TUTTI_PROGRAM).
function(tutti_test)
  cmake_parse_arguments(ARG "" "NAME;TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(("numbers" IN_LIST ARG_LABELS AND NOT TUTTI_NUMBERS) OR ("e2e" IN_LIST ARG_LABELS AND NOT TUTTI_PROGRAM))
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(CMAKE_BUILD_TYPE STREQUAL "Coverage")
    math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * 6")  # nothing is optimised
  endif()
  add_executable(${ARG_NAME} ${ARG_SOURCES})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS})
  tutti_test_flags(${ARG_NAME})
  if(TUTTI_PCH)
    target_precompile_headers(${ARG_NAME} REUSE_FROM tutti_tests_pch)
  endif()
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
  set_tests_properties(${ARG_NAME} PROPERTIES LABELS "unit;${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
endfunction()
