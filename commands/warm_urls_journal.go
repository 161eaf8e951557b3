package commands

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	sources "github.com/cachectl/cachectl/backends/source"
	"github.com/cachectl/cachectl/commands/render"
)

// A warmRecording is the journal of a run. It is text: a line of JSON, the URLs a line each
// in their order, a line with a dot, and then what became of them, a line each: the number
// of the item, its state and the reason; "+" with number, variant, redirects and URL of one
// that a redirect led to. It is handed to the system a few times a second and not flushed to
// the disk: who is killed asks again for the last second's URLs, which does no harm.
type warmRecording struct {
	path    string // --journal, and then where it is
	resume  string
	env     *Env
	resumed *warmList // of --resume

	keep    bool // it was named, so that it stays
	head    warmHead
	file    *os.File
	out     *bufio.Writer
	release func()
	flushed time.Time
	broken  bool

	items  int // of the list, variants counted
	extra  []warmItem
	before []warmed // what earlier runs did; n, state and reason
}

type warmHead struct {
	Version int                 `json:"cachectl_warm_urls"`
	Time    time.Time           `json:"time"`
	Sources []string            `json:"sources"`
	Flags   map[string][]string `json:"flags,omitempty"`
	Headers []string            `json:"headers,omitempty"` // names of --header: their values may be secret
	URLs    int                 `json:"urls"`
	Refused int                 `json:"refused,omitempty"`
}

func (j *warmRecording) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&j.path, "journal", "", "record the run in this new `file`, and leave it there, or none; by default in the state folder for more than 1,000 URLs")
	f.StringVar(&j.resume, "resume", "", "go on with the run of this journal `file`; without one, with the newest that is not complete")
	f.Lookup("resume").NoOptDefVal = newest
	cmd.MarkFlagFilename("journal")
	cmd.MarkFlagFilename("resume")
}

func warmFolder(env *Env) (string, error) {
	dir, err := stateFolder(env)
	return filepath.Join(dir, "warm"), err
}

// warmHow are the flags that a run which goes on may have of its own.
var warmHow = []string{"header", "concurrency", "max-errors", "timeout", "fail-if", "urls", "dry-run"}

// load opens the journal of --resume, and sets the flags as they were.
func (j *warmRecording) load(cmd *cobra.Command, env *Env, args []string) ([]string, error) {
	j.env = env
	if j.resume == "" {
		return args, nil
	}
	if j.resume == newest && len(args) == 1 { // "--resume FILE" looks to a flag parser like an argument
		j.resume, args = args[0], nil
	}
	given := make(map[string]bool)
	var other string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		given[f.Name] = true
		if !slices.Contains(howFlags, f.Name) && !slices.Contains(warmHow, f.Name) {
			other = "--" + f.Name
		}
	})
	if len(args) > 0 || other != "" {
		return nil, usagef("--resume takes its URLs from the journal: no SOURCE and no %s beside it", orElse(other, "other selection"))
	}
	if err := j.find(env); err != nil {
		return nil, err
	}
	for name, values := range j.head.Flags {
		if given[name] {
			continue
		}
		for _, value := range values {
			if err := cmd.Flags().Set(name, value); err != nil {
				return nil, fmt.Errorf("%s: --%s %s: %w", j.path, name, value, err)
			}
		}
	}
	var named []string
	texts, _ := cmd.Flags().GetStringArray("header")
	for _, text := range texts {
		name, _, _ := strings.Cut(text, ":")
		named = append(named, http.CanonicalHeaderKey(strings.TrimSpace(name)))
	}
	for _, name := range j.head.Headers {
		if !slices.Contains(named, name) {
			return nil, usagef("that run had --header '%s: ...', whose value is not kept: give it again", name)
		}
	}
	return nil, nil
}

// find opens the journal that --resume means.
func (j *warmRecording) find(env *Env) error {
	dir, noDir := warmFolder(env)
	if j.resume != newest {
		j.keep = noDir != nil || filepath.Dir(j.resume) != dir
		return j.open(j.resume)
	}
	if noDir != nil {
		return withHint(usagef("no journal: %w", noDir), "--resume=FILE names one")
	}
	names, _ := filepath.Glob(filepath.Join(dir, "urls-*"+journalSuffix))
	slices.Sort(names)
	var failed error
	for _, name := range slices.Backward(names) {
		if failed = j.open(name); failed == nil {
			env.note("goes on with %s", name)
			return nil
		}
	}
	return errors.Join(failed, withHint(usagef("no run of warm urls is left unfinished in %s", dir), "--resume=FILE names a journal elsewhere"))
}

// open locks and reads a journal, and leaves it open at its end.
func (j *warmRecording) open(path string) (err error) {
	if j.release, err = lockFile(path); err != nil {
		return err
	}
	if err = j.read(path); err == nil {
		j.file, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	}
	if err != nil {
		j.release()
		j.release = nil
		return err
	}
	j.path, j.out = path, bufio.NewWriter(j.file)
	return nil
}

func (j *warmRecording) read(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	whole := strings.LastIndexByte(string(data), '\n') + 1 // a line that was cut short never was
	if whole < len(data) {
		if err := os.Truncate(path, int64(whole)); err != nil {
			return err
		}
	}
	lines := strings.SplitAfter(string(data[:whole]), "\n")
	lines = lines[:len(lines)-1]
	bad := fmt.Errorf("%s is no journal of warm urls, or its list is not complete", path)
	if len(lines) == 0 || json.Unmarshal([]byte(lines[0]), &j.head) != nil || j.head.Version != 1 || j.head.URLs < 0 ||
		len(lines) < j.head.URLs+2 || lines[j.head.URLs+1] != ".\n" {
		return bad
	}
	list := &warmList{at: make(map[string]int, j.head.URLs)}
	for _, line := range lines[1 : j.head.URLs+1] {
		line = strings.TrimSuffix(line, "\n")
		list.at[line] = len(list.urls)
		list.urls = append(list.urls, sources.URL{URL: line})
	}
	j.extra, j.before = nil, nil
	for n, line := range lines[j.head.URLs+2:] {
		if !j.readLine(strings.TrimSuffix(line, "\n")) {
			return fmt.Errorf("%s, line %d: %q says nothing", path, j.head.URLs+3+n, cutText(line))
		}
	}
	list.earlier = j.head.Refused
	j.resumed = list
	j.items = j.head.URLs * max(1, len(j.head.Flags["variant"]))
	return nil
}

// readLine reads what became of an item.
func (j *warmRecording) readLine(line string) bool {
	if rest, ok := strings.CutPrefix(line, "+ "); ok {
		words := strings.SplitN(rest, " ", 4)
		if len(words) != 4 {
			return false
		}
		n, noNumber := strconv.Atoi(words[0])
		variant, noVariant := strconv.Atoi(words[1])
		hops, noHops := strconv.Atoi(words[2])
		j.extra = append(j.extra, warmItem{n: n, url: words[3], variant: variant, hops: hops})
		return noNumber == nil && noVariant == nil && noHops == nil && variant >= 0 && variant < max(1, len(j.head.Flags["variant"]))
	}
	number, rest, _ := strings.Cut(line, " ")
	state, reason, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || !slices.Contains(warmStates, warmState(state)) {
		return false
	}
	j.before = append(j.before, warmed{warmItem: warmItem{n: n}, state: warmState(state), reason: reason})
	return true
}

// begin starts the journal of a new run.
func (j *warmRecording) begin(cmd *cobra.Command, env *Env, list *warmList, hosts *warmHosts, args []string) error {
	var sites []string
	variants, _ := cmd.Flags().GetStringArray("variant")
	j.items = len(list.urls) * max(1, len(variants))
	if j.file != nil || j.path == "none" || j.path == "" && len(list.urls) <= journalFrom {
		return nil
	}
	j.keep = j.path != ""
	j.head = warmHead{Version: 1, Time: env.Now().UTC(), Sources: args, Flags: whatFlags(cmd), URLs: len(list.urls), Refused: list.refused()}
	for _, name := range []string{"header", "urls"} {
		delete(j.head.Flags, name)
	}
	texts, _ := cmd.Flags().GetStringArray("header")
	for _, text := range texts {
		name, _, _ := strings.Cut(text, ":")
		j.head.Headers = append(j.head.Headers, http.CanonicalHeaderKey(strings.TrimSpace(name)))
	}
	for _, u := range slices.Concat(hosts.bases, hosts.also) {
		sites = append(sites, u.Scheme+"://"+u.Host)
	}
	j.head.Flags["host"] = sites
	err := error(nil)
	if !j.keep {
		var dir string
		if dir, err = warmFolder(env); err == nil {
			err = os.MkdirAll(dir, 0o700)
			pruneWarm(dir, env.Now())
			j.path = filepath.Join(dir, "urls-"+env.Now().UTC().Format("20060102T150405.000Z")+journalSuffix)
		}
	}
	if err == nil {
		err = j.create(list)
	}
	if err != nil && !j.keep {
		env.warn("no journal, so this run cannot be resumed: %v", err)
		j.path, err = "", nil
	}
	return err
}

func (j *warmRecording) create(list *warmList) (err error) {
	if j.file, err = os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600); err != nil {
		return err
	}
	j.out = bufio.NewWriter(j.file)
	head, err := json.Marshal(j.head)
	j.out.Write(append(head, '\n'))
	for _, u := range list.urls {
		j.out.WriteString(u.URL + "\n")
	}
	j.out.WriteString(".\n")
	if err = errors.Join(err, j.out.Flush()); err == nil {
		j.release, err = lockFile(j.path)
	}
	if err != nil {
		j.file.Close()
		os.Remove(j.path)
		j.file = nil
	}
	return err
}

// pruneWarm removes journals that nobody went on with for long.
func pruneWarm(dir string, now time.Time) {
	names, _ := filepath.Glob(filepath.Join(dir, "urls-*"+journalSuffix))
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && now.Sub(info.ModTime()) > journalAge {
			os.Remove(name)
		}
	}
}

// found gives a URL that a redirect led to its number.
func (j *warmRecording) found(from warmed, url string) int {
	it := warmItem{n: j.items + len(j.extra), url: url, variant: from.variant, hops: from.hops + 1}
	j.extra = append(j.extra, it)
	if j.file != nil {
		fmt.Fprintf(j.out, "+ %d %d %d %s\n", it.n, it.variant, it.hops, it.url)
	}
	return it.n
}

// did notes what became of an item. What failed for the server's sake is asked for again by
// a run that goes on.
func (j *warmRecording) did(env *Env, w *warmed) {
	if j.file == nil || w.blame {
		return
	}
	fmt.Fprintf(j.out, "%d %s %s\n", w.n, w.state, w.reason)
	if now := env.Now(); now.Sub(j.flushed) >= 200*time.Millisecond {
		j.flushed = now
		if err := j.out.Flush(); err != nil && !j.broken {
			j.broken = true
			env.warn("the journal cannot be written, so this run cannot be resumed from here: %v", err)
		}
	}
}

// conclude closes the journal. One that has nothing left to tell goes.
func (j *warmRecording) conclude(env *Env, whole bool) error {
	if j.file == nil {
		return nil
	}
	err := j.out.Flush()
	if j.broken {
		err = nil // it was told
	}
	if whole && !j.keep {
		err = errors.Join(err, os.Remove(j.path))
		j.path = ""
	}
	if !whole {
		env.note("%s", j.goOnHint())
	}
	j.close()
	return err
}

func (j *warmRecording) goOnHint() string {
	if j.file == nil {
		return "--failures FILE keeps those that failed"
	}
	return fmt.Sprintf("%q goes on with what is left", shellWords([]string{"cachectl", "warm", "urls", "--resume=" + j.path}))
}

func (j *warmRecording) close() {
	if j.file != nil {
		j.file.Close()
		j.file = nil
	}
	if j.release != nil {
		j.release()
		j.release = nil
	}
}

// writeFailures writes the URLs that failed, each once.
func (d *warmTally) writeFailures(path string) error {
	if path == "" {
		return nil
	}
	return replaceFile(path, 0o666, func(w io.Writer) error {
		seen := make(map[string]bool)
		for _, u := range d.failed {
			if seen[u] {
				continue
			}
			seen[u] = true
			if _, err := fmt.Fprintln(w, render.Visible(u)); err != nil {
				return err
			}
		}
		return nil
	})
}
