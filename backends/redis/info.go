package redis

import (
	"strconv"
	"strings"
	"time"
)

// parseInfo reads the reply of INFO: lines "name:value", section headers and
// anything else it does not understand skipped. A name that comes twice keeps
// its first value.
func parseInfo(text string) map[string]string {
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if _, twice := fields[name]; !twice {
			fields[name] = value
		}
	}
	return fields
}

// keyspaceNumber reads one number of a composite value such as
// "keys=12,expires=3,avg_ttl=0"; 0 when it is not there.
func keyspaceNumber(value, name string) uint64 {
	for part := range strings.SplitSeq(value, ",") {
		if k, v, ok := strings.Cut(part, "="); ok && k == name {
			n, _ := strconv.ParseUint(v, 10, 64)
			return n
		}
	}
	return 0
}

// sumOver adds up the number called name over all fields with the prefix:
// sumOver(info, "cmdstat_", "failed_calls"). ok is false when none has it.
func sumOver(info map[string]string, prefix, name string) (sum uint64, ok bool) {
	for field, value := range info {
		if strings.HasPrefix(field, prefix) && strings.Contains(value, name+"=") {
			sum += keyspaceNumber(value, name)
			ok = true
		}
	}
	return sum, ok
}

// A version is major and minor; the zero version is unknown.
type version struct{ major, minor int }

func parseVersion(text string) version {
	major, rest, _ := strings.Cut(text, ".")
	minor, _, _ := strings.Cut(rest, ".")
	var v version
	v.major, _ = strconv.Atoi(major)
	v.minor, _ = strconv.Atoi(minor)
	return v
}

func (v version) atLeast(major, minor int) bool {
	return v.major > major || v.major == major && v.minor >= minor
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
