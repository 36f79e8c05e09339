# avvik_embed_text(OUTPUT SOURCES...): at build time a C file OUTPUT that holds each text file NAME.EXT as the string
# avvik__NAME_EXT. Needs nothing but CMake: the second half of this file is the script that the build runs (cmake -P).
if(NOT CMAKE_SCRIPT_MODE_FILE)
  set(AVVIK_EMBED_TEXT_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
  function(avvik_embed_text output)
    string(REPLACE ";" "|" joined "${ARGN}")
    add_custom_command(OUTPUT ${output}
      COMMAND ${CMAKE_COMMAND} "-DOUTPUT=${output}" "-DSOURCES=${joined}" -P ${AVVIK_EMBED_TEXT_SCRIPT}
      DEPENDS ${ARGN} ${AVVIK_EMBED_TEXT_SCRIPT} COMMENT "Embedding style and script of pages" VERBATIM)
  endfunction()
  return()
endif()

# Bytes as numbers: a string literal would have to stay under the 4095 characters that C11 promises.
set(content "/* Made from the files of host/web/ by host/web/embed_text.cmake. */\n")
string(REPLACE "|" ";" SOURCES "${SOURCES}")
foreach(source ${SOURCES})
  get_filename_component(name ${source} NAME)
  string(REPLACE "." "_" name ${name})
  file(READ ${source} text HEX)
  string(REGEX REPLACE "(................................................................)" "\\1\n    " text "${text}00")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," text "${text}")
  string(APPEND content "extern const char avvik__${name}[];\nconst char avvik__${name}[] = {\n    ${text}};\n")
endforeach()
file(WRITE ${OUTPUT} "${content}")
