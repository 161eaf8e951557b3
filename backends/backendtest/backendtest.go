// Package backendtest is the definition of a backend: what passes Suite.Run keeps the
// contracts of package backends. It runs against real servers; a backend that
// lacks a capability says so in the suite, so that losing one is a failure and
// not a test that no longer runs.
package backendtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// A Suite says how to reach a backend and what is to be expected of it.
type Suite struct {
	// Open opens the same cache at each call. The cache starts out empty, and
	// nobody else uses it: counters are compared exactly.
	Open func(t *testing.T) backends.Backend
	// Keys are names that try the cache's limits: every one must survive every path.
	Keys []string
	// Lacks names the capabilities this backend does not have.
	Lacks []string
	// Expects tells whether a notice belongs to every scan of this cache; any
	// other fails the test. Nil: none does.
	Expects func(*backends.Notice) bool
	// Refused brings a request that the server refuses, of a Dialer.
	Refused func(t *testing.T) backends.Ask
	// Leases says that the Dialer's connections lease.
	Leases bool
}

// HostileKeys are names that a cache of arbitrary bytes takes.
func HostileKeys() []string {
	keys := []string{
		"plain", "with space", "tab\there", "line\nbreak", "crlf\r\n", "nul\x00inside", "\x00", "\xff\xfe", "caf\u00e9", "\u65e5\u672c",
		"star*", "question?", "set[a-c]", "back\\slash", "caret^", "quote\"", "apostrophe'", "{tag}x", "{", "}{", "",
		"user*:1", "user:1", "-", "--flag", "%s%n", "$(true)", strings.Repeat("long", 128),
	}
	var all strings.Builder
	for b := range 256 {
		all.WriteByte(byte(b))
	}
	return append(keys, all.String())
}

// Run runs the whole suite.
func (s Suite) Run(t *testing.T) {
	for _, test := range []struct {
		name  string
		needs []string
		run   func(*testing.T, backends.Backend)
	}{
		{"Name", nil, testName},
		{"Store", []string{"Store"}, s.testStore},
		{"ScanBringsEveryKey", []string{"Store", "Scanner"}, s.testScanAll},
		{"ScanMatchesLikeTheMatcher", []string{"Store", "Scanner"}, s.testScanMatch},
		{"ScanWhileKeysComeAndGo", []string{"Store", "Scanner"}, s.testScanMoving},
		{"ScanStopsWithItsReader", []string{"Store", "Scanner"}, s.testScanStop},
		{"ScanEndsWithItsContext", []string{"Store", "Scanner"}, s.testScanCancel},
		{"ScanGoesOnFromAMark", []string{"Store", "Scanner"}, s.testScanMark},
		{"ScanLeavesKeysOut", []string{"Store", "Scanner"}, s.testScanKeep},
		{"ScanFacts", []string{"Store", "Scanner"}, s.testScanFacts},
		{"Inspect", []string{"Store", "Inspector"}, s.testInspect},
		{"DeleteTakesWhatItIsGiven", []string{"Store", "Deleter"}, s.testDelete},
		{"DeleteIsExact", []string{"Store", "Scanner", "Deleter"}, s.testDeleteModel},
		{"DeleteWhileScanning", []string{"Store", "Scanner", "Deleter"}, s.testDeleteMany},
		{"DeleteLeavesWhatHasChanged", []string{"Store", "Scanner", "Deleter"}, s.testDeleteGuard},
		{"DeletePassesErrorsOn", []string{"Store", "Deleter"}, s.testDeleteErrors},
		{"DeleteEndsWithItsContext", []string{"Store", "Scanner", "Deleter"}, s.testDeleteCancel},
		{"DeleteStopsWithItsReader", []string{"Store", "Deleter"}, s.testDeleteStop},
		{"ExpireGivesWhatItIsTold", []string{"Store", "Inspector", "Deleter", "Expirer"}, s.testExpire},
		{"ExpireIf", []string{"Store", "Inspector", "Expirer"}, s.testExpireIf},
		{"ExpireDeletesNothing", []string{"Store", "Expirer"}, s.testExpireNothing},
		{"ExpireWhileScanning", []string{"Store", "Scanner", "Inspector", "Expirer"}, s.testExpireMany},
		{"ExpirePassesErrorsOn", []string{"Store", "Expirer"}, s.testExpireErrors},
		{"ExpireEndsWithItsContext", []string{"Store", "Scanner", "Inspector", "Expirer"}, s.testExpireCancel},
		{"ExpireStopsWithItsReader", []string{"Store", "Inspector", "Expirer"}, s.testExpireStop},
		{"DumpAndLoadBringBack", []string{"Store", "Scanner", "Deleter", "Dumper", "Loader"}, s.testDump},
		{"LoadReplacesWhereAsked", []string{"Store", "Scanner", "Deleter", "Dumper", "Loader"}, s.testLoadReplaces},
		{"LoadLeavesOutWhatIsOver", []string{"Store", "Scanner", "Deleter", "Dumper", "Loader"}, s.testLoadEnded},
		{"LoadRefusesForeignRecords", []string{"Store", "Scanner", "Deleter", "Dumper", "Loader"}, s.testLoadForeign},
		{"LoadNeedsAllParts", []string{"Store", "Scanner", "Deleter", "Dumper", "Loader"}, s.testLoadParts},
		{"LoadPassesErrorsOn", []string{"Store", "Scanner", "Deleter", "Dumper", "Loader"}, s.testLoadErrors},
		{"LoadEndsWithItsContext", []string{"Store", "Scanner", "Deleter", "Dumper", "Loader"}, s.testLoadCancel},
		{"DumpBigValues", []string{"Store", "Scanner", "Deleter", "Dumper", "Loader"}, s.testDumpBig},
		{"LoadTakesPortableStrings", []string{"Store", "Loader"}, s.testLoadPortable},
		{"LoadTellsInOrder", []string{"Store", "Loader"}, s.testLoadOrder},
		{"ExportBringsBack", []string{"Store", "Scanner", "Deleter", "Exporter", "Loader"}, s.testExport},
		{"SampleIsFair", []string{"Store", "Sampler"}, s.testSample},
		{"Pulse", []string{"Pulser"}, s.testPulse},
		{"Edit", []string{"Store", "Reader", "Editor"}, s.testEdit},
		{"Read", []string{"Store", "Reader"}, s.testRead},
		{"Stats", []string{"Store", "StatsReader"}, s.testStats},
		{"Footprint", []string{"Store", "Scanner", "StatsReader", "Footprinter"}, s.testFootprint},
		{"ShardsAreTheWhole", []string{"Store", "Scanner", "Sharder"}, s.testShards},
		{"DialledConnections", []string{"Dialer"}, s.testDial},
		{"Asks", []string{"Store", "Dialer"}, s.testAsks},
		{"AskValues", []string{"Dialer"}, s.testAskValues},
		{"AskTTL", []string{"Inspector", "Dialer"}, s.testAskTTL},
		{"AsksAreAnsweredInOrder", []string{"Dialer"}, s.testAsksInOrder},
		{"AskRefused", []string{"Dialer"}, s.testRefused},
		{"AskLease", []string{"Dialer"}, s.testLease},
		{"AskPublish", []string{"Dialer", "Subscriber"}, s.testAskPublish},
		{"Routes", []string{"Store", "Dialer"}, s.testRoutes},
		{"Publish", []string{"Publisher", "Subscriber"}, s.testPublish},
		{"SubscribeEnds", []string{"Publisher", "Subscriber"}, s.testSubscribeEnds},
		{"CancelledContext", []string{"StatsReader"}, s.testCancelled},
	} {
		t.Run(test.name, func(t *testing.T) {
			labelled(t)
			b := s.Open(t)
			t.Cleanup(func() { b.Close() })
			for _, name := range test.needs {
				if slices.Contains(s.Lacks, name) {
					mustLack(t, b, name)
					return
				}
			}
			test.run(t, b)
		})
	}
}

var capabilities = map[string]func(backends.Backend) error{
	"Store":       asks[backends.Store],
	"Scanner":     asks[backends.Scanner],
	"Inspector":   asks[backends.Inspector],
	"Reader":      asks[backends.Reader],
	"Editor":      asks[backends.Editor],
	"Deleter":     asks[backends.Deleter],
	"Expirer":     asks[backends.Expirer],
	"Dumper":      asks[backends.Dumper],
	"Loader":      asks[backends.Loader],
	"Exporter":    asks[backends.Exporter],
	"Formatter":   asks[backends.Formatter],
	"Sampler":     asks[backends.Sampler],
	"Pulser":      asks[backends.Pulser],
	"StatsReader": asks[backends.StatsReader],
	"Footprinter": asks[backends.Footprinter],
	"Sharder":     asks[backends.Sharder],
	"Dialer":      asks[backends.Dialer],
	"Publisher":   asks[backends.Publisher],
	"Subscriber":  asks[backends.Subscriber],
}

func asks[C any](b backends.Backend) error {
	_, err := backends.As[C](b)
	return err
}

// mustLack makes sure that what the suite says is missing really is, with the right error.
func mustLack(t *testing.T, b backends.Backend, name string) {
	t.Helper()
	var unsupported *backends.UnsupportedError
	if err := capabilities[name](b); !errors.As(err, &unsupported) {
		t.Fatalf("As[%s] = %v, want an *UnsupportedError: take it out of Lacks", name, err)
	}
}

func must[C any](t *testing.T, b backends.Backend) C {
	t.Helper()
	c, err := backends.As[C](b)
	if err != nil {
		t.Fatalf("%v; a backend without it says so in Suite.Lacks", err)
	}
	return c
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func set(t *testing.T, b backends.Backend, ttl time.Duration, keys ...string) {
	t.Helper()
	store := must[backends.Store](t, b)
	for _, key := range keys {
		if err := store.Set(testContext(t), key, []byte("value of "+key), ttl); err != nil {
			t.Fatalf("Set(%q): %v", key, err)
		}
	}
}

// family writes n keys that share a prefix no other test uses.
func family(t *testing.T, b backends.Backend, name string, n int) []string {
	t.Helper()
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("%s:%05d", name, i)
	}
	set(t, b, 0, keys...)
	return keys
}

// collect reads a scan to its end and fails at any error.
func (s Suite) collect(t *testing.T, pages iter.Seq2[backends.Page, error]) []backends.Entry {
	t.Helper()
	var entries []backends.Entry
	for page, err := range s.expected(pages) {
		if err != nil {
			t.Fatalf("scan: %v", err)
		}
		if page.Done < 0 || page.Done > 1 {
			t.Errorf("page.Done = %v, want 0 to 1", page.Done)
		}
		if page.Shard == "" {
			t.Error("page without the name of its shard")
		}
		entries = append(entries, page.Entries...)
	}
	return entries
}

// expected leaves out the notices that the suite expects.
func (s Suite) expected(pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Page, error] {
	return func(yield func(backends.Page, error) bool) {
		for page, err := range pages {
			var notice *backends.Notice
			if s.Expects != nil && errors.As(err, &notice) && s.Expects(notice) {
				continue
			}
			if !yield(page, err) {
				return
			}
		}
	}
}

func names(entries []backends.Entry) []string {
	var keys []string
	for _, e := range entries {
		keys = append(keys, e.Key)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func equalKeys(t *testing.T, what string, got, want []string) {
	t.Helper()
	for _, key := range want {
		if !slices.Contains(got, key) {
			t.Errorf("%s: %q is missing", what, key)
		}
	}
	for _, key := range got {
		if !slices.Contains(want, key) {
			t.Errorf("%s: %q should not be there", what, key)
		}
	}
}

// settled waits until the test has no more goroutines than before.
func settled(t *testing.T, before int) {
	t.Helper()
	for range 100 {
		if goroutines(t) <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before: something outlived its call", goroutines(t), before)
}

// labelled makes this goroutine and all that come of it the test's, whatever runs beside it.
func labelled(t *testing.T) {
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("test", t.Name())))
}

// goroutines counts those of a test that is labelled. The profile has a line "N @ ..." for
// N that are at the same place, and one with their labels behind it.
func goroutines(t *testing.T) (sum int) {
	t.Helper()
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
		t.Fatal(err)
	}
	n, label := 0, fmt.Sprintf(`"test":%q`, t.Name())
	for line := range strings.Lines(all.String()) {
		if count, _, ok := strings.Cut(line, " @ "); ok {
			n, _ = strconv.Atoi(count)
		} else if strings.HasPrefix(line, "# labels:") && strings.Contains(line, label) {
			sum += n
		}
	}
	if sum == 0 {
		t.Fatal("this goroutine is not found in the profile")
	}
	return sum
}
