package harness

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Session lists the live processes of a session, one line each. A process that kre starts may leave its process group,
// but stays in the session that the harness gave to kre.
func Session(id int) ([]string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended meanwhile
		}
		// The name, in parentheses, may itself hold blanks and parentheses; state, parent, group and session follow it.
		text := string(stat)
		fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		if len(fields) < 4 || fields[0] == "Z" || fields[3] != strconv.Itoa(id) {
			continue
		}
		command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue
		}
		found = append(found, fmt.Sprintf("%d %s", pid, strings.ReplaceAll(string(command), "\x00", " ")))
	}
	return found, nil
}
