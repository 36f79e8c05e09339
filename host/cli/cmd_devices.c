/* avvik devices and avvik selftest: what can run here, and does it compute right? */
#include <stdlib.h>

#include "cli.h"

static int devices_run(const struct cli_command *command, int argc, char **argv)
{
    int is_json = 0, first;
    const struct cli_option options[] = {
        {"json", CLI_FLAG, &is_json, NULL, "one JSON document on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    const int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (first != argc)
        return cli_usage_error(command, "'%s' is one argument too many", argv[first]);
    struct avvik_error error;
    struct avvik_device *devices;
    size_t n_devices;
    if (avvik_devices_list(&devices, &n_devices, &error) != AVVIK_OK)
        return cli_error(&error);
    json_t *list = json_array();
    for (size_t i = 0; i < n_devices; i++) {
        const struct avvik_device *device = &devices[i];
        if (is_json) {
            json_array_append_new(list, json_pack("{s:s, s:o, s:b, s:b, s:o}", "backend", device->backend, "name",
                                                  cli_json_text(device->name), "available", device->is_available, "gpu",
                                                  device->is_gpu, "reason", cli_json_text(device->reason)));
            continue;
        }
        printf("%-12s  %-3s  ", device->backend, device->is_available ? "yes" : "no");
        cli_print_text(stdout, device->is_available ? device->name : device->reason);
        putchar('\n');
    }
    free(devices);
    if (is_json)
        return cli_print_json(json_pack("{s:o}", "devices", list));
    json_decref(list);
    return CLI_DONE;
}

const struct cli_command cli_devices = {"devices", "", "list every backend, and why some cannot run here", NULL,
                                        devices_run};

static int selftest_run(const struct cli_command *command, int argc, char **argv)
{
    const char *wanted = NULL;
    int is_json = 0, first;
    const struct cli_option options[] = {
        {"backend", CLI_TEXT, &wanted, "NAME", "this backend only; default: all", 0, 0},
        {"json", CLI_FLAG, &is_json, NULL, "one JSON document on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (first != argc)
        return cli_usage_error(command, "'%s' is one argument too many", argv[first]);
    struct avvik_error error;
    struct avvik_device *devices = NULL;
    size_t n_devices = 0;
    if (wanted != NULL) {
        if (avvik_selftest(wanted, &error) != AVVIK_OK)
            return cli_error(&error);
        return is_json ? cli_print_json(
                             json_pack("{s:[{s:o, s:b}]}", "backends", "backend", cli_json_text(wanted), "passed", 1))
                       : (printf("%-12s  passed\n", wanted), CLI_DONE);
    }
    if (avvik_devices_list(&devices, &n_devices, &error) != AVVIK_OK)
        return cli_error(&error);
    json_t *list = json_array();
    code = CLI_DONE;
    for (size_t i = 0; i < n_devices; i++) {
        const struct avvik_device *device = &devices[i];
        const char *told = device->reason;
        enum avvik_status status = AVVIK_ERR_BACKEND;
        if (device->is_available && (status = avvik_selftest(device->backend, &error)) != AVVIK_OK) {
            told = error.text;
            code = CLI_SELFTEST_FAILED;
        }
        const char *verdict = status == AVVIK_OK ? "passed" : device->is_available ? "FAILED" : "not here";
        if (is_json) {
            json_array_append_new(list, json_pack("{s:s, s:b, s:b, s:o}", "backend", device->backend, "available",
                                                  device->is_available, "passed", status == AVVIK_OK, "text",
                                                  cli_json_text(status == AVVIK_OK ? "" : told)));
            continue;
        }
        printf("%-12s  %-8s  ", device->backend, verdict);
        cli_print_text(stdout, status == AVVIK_OK ? device->name : told);
        putchar('\n');
    }
    free(devices);
    if (is_json) {
        const int printed = cli_print_json(json_pack("{s:o}", "backends", list));
        return code == CLI_DONE ? printed : code;
    }
    json_decref(list);
    return code;
}

const struct cli_command cli_selftest = {"selftest", "", "compare every backend with the scalar reference, bit by bit",
                                         NULL, selftest_run};
