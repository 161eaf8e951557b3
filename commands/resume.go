package commands

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cachectl/cachectl/commands/journal"
	"github.com/cachectl/cachectl/commands/render"
)

// A record is how a bulk change is kept on the disk while it runs.
type recording struct {
	path     string // --journal
	resume   string // --resume
	retryFor time.Duration

	journal *journal.Journal
	state   *journal.State
	met     map[string]bool // shards that answered at some time of the run
	from    string          // where what is loaded comes from, without secrets; empty: nothing is
	file    fs.FileInfo     // of that, where it is a regular file; else nil
	anew    string          // why a run that goes on begins anew; empty: it does not
	again   string          // the flags that say the target, which no journal does, for who goes on
}

// newest is the value of --resume without a file.
const newest = "newest"

// journalFrom is how many keys make a change worth a journal that nobody asked for.
const journalFrom = 1000

func (r *recording) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.path, "journal", "", "record the run in this `file`, or none; by default in the state folder for more than 1,000 keys")
	f.StringVar(&r.resume, "resume", "", "go on with the run of this journal `file`; without one, with the newest that did not end")
	f.Lookup("resume").NoOptDefVal = newest
	f.DurationVar(&r.retryFor, "retry-for", 30*time.Second, "how long a node that is lost on the way is tried again")
	cmd.MarkFlagFilename("journal")
	cmd.MarkFlagFilename("resume")
}

// Flags that say how, not what: a run that goes on may have others. A DSN may hold a
// password, so it is kept nowhere.
var howFlags = []string{"target", "yes", "confirm", "pace", "rate", "count", "output", "columns", "jq", "color", "no-header", "out", "quiet", "resume", "retry-for", "failures", "keep-free", "allow-evictions", "dsn"}

// commandName is what stands behind the program's name: "rm", "warm sql".
func commandName(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// load reads the journal of --resume, and puts its selection where the command line's
// would be. It returns the patterns.
func (r *recording) load(cmd *cobra.Command, env *Env, args []string) ([]string, error) {
	r.met, r.again = make(map[string]bool), givenTarget(cmd)
	if r.resume == "" {
		r.state = journal.NewState()
		return args, nil
	}
	path := r.resume
	if path == newest && len(args) == 1 { // "--resume FILE" looks to a flag parser like an argument
		path, args = args[0], nil
	}
	var other string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if !slices.Contains(howFlags, f.Name) {
			other = "--" + f.Name
		}
	})
	if len(args) > 0 || other != "" {
		return nil, usagef("--resume takes its keys from the journal: no pattern and no %s beside it", orElse(other, "other selection"))
	}
	if path == newest {
		var err error
		if path, err = newestJournal(env, commandName(cmd)); err != nil {
			return nil, err
		}
	}
	var err error
	if r.journal, r.state, err = journal.Open(path); err != nil {
		return nil, err
	}
	if r.state.Command != commandName(cmd) {
		return nil, usagef("%s is the journal of %q", path, r.state.Command)
	}
	if r.state.Ended == whole {
		return nil, withHint(usagef("%s: that run is complete", path), "nothing is left to do")
	}
	given := make(map[string]bool) // what the command line says outranks the journal
	cmd.Flags().Visit(func(f *pflag.Flag) { given[f.Name] = true })
	for name, values := range r.state.Flags {
		if given[name] || name == "rate" && given["pace"] || name == "pace" && given["rate"] {
			continue
		}
		for _, value := range values {
			if err := cmd.Flags().Set(name, value); err != nil {
				return nil, fmt.Errorf("%s: --%s %s: %w", path, name, value, err)
			}
		}
	}
	return r.state.Patterns, nil
}

// unchanged refuses to go on with a file that is not what it was: a mark is a place in it.
func (r *recording) unchanged() error {
	was := r.state.Modified
	if was.IsZero() || r.file != nil && r.file.Size() == r.state.Size && r.file.ModTime().Equal(was) {
		return nil
	}
	now := "is no regular file any more"
	if r.file != nil {
		now = fmt.Sprintf("has %s bytes, of %s", render.Int(r.file.Size()).Text, r.file.ModTime().UTC().Format(time.RFC3339Nano))
	}
	return withHint(usagef("%s has changed since the run began: it had %s bytes, of %s, and %s", r.from, render.Int(r.state.Size).Text, was.Format(time.RFC3339Nano), now),
		"the journal knows places in the file as it was; a new run, without --resume, leaves alone what is loaded already unless --replace is given")
}

// givenTarget is --target as a shell reads it, without secrets; empty where it was not given.
func givenTarget(cmd *cobra.Command) string {
	f := cmd.Flags().Lookup("target")
	if f == nil || !f.Changed {
		return ""
	}
	return typedTarget(f.Value.String())
}

// typedTarget is the flag for a target as a shell reads it, without secrets; empty where none was given.
func typedTarget(given string) string {
	u, err := url.Parse(given)
	if err != nil || given == "" {
		return ""
	}
	return " -t '" + strings.ReplaceAll(bareURL(u), "'", `'\''`) + "'"
}

// whole is how a run ends that has nothing left to do.
const whole = "complete"

// begin opens the journal of a new run, after the plan and the confirmation.
func (r *recording) begin(cmd *cobra.Command, env *Env, t *target, patterns []string, list []string, listed bool, keys float64) error {
	if r.journal != nil || r.path == "none" || r.path == "" && keys <= journalFrom {
		r.state.Listed = listed
		return nil
	}
	h := journal.Head{
		ID: env.Now().UTC().Format("20060102T150405.000Z"), Time: env.Now().UTC(), Command: commandName(cmd), Source: r.from,
		Target: bareURL(t.url), Context: t.context, Patterns: patterns, Flags: whatFlags(cmd), Listed: listed,
	}
	if r.file != nil {
		h.Size, h.Modified = r.file.Size(), r.file.ModTime().UTC()
	}
	path, chosen := r.path, r.path != ""
	if !chosen {
		dir, err := stateFolder(env)
		if err != nil {
			env.note("no journal: %v", err)
			return nil
		}
		path = filepath.Join(dir, "journal", strings.ReplaceAll(h.Command, " ", "_")+"-"+h.ID+journalSuffix)
	}
	var err error
	if r.journal, err = journal.Create(path, h, list); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return withHint(&usageError{err}, "--resume=%s goes on with that run; another run needs another file", path)
		}
		return withHint(err, "--journal FILE puts it elsewhere; --journal none does without, and without --resume")
	}
	r.state.Head = h
	return nil
}

// whatFlags are the flags that say what a run is about, and how fast it may go: a run
// that goes on has the same.
func whatFlags(cmd *cobra.Command) map[string][]string {
	flags := make(map[string][]string)
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch {
		case f.Name == "journal", f.Name == "key-file", f.Name == "key-format", slices.Contains(howFlags, f.Name) && f.Name != "rate" && f.Name != "pace":
		case f.Value.Type() == "stringArray":
			flags[f.Name] = f.Value.(pflag.SliceValue).GetSlice()
		default:
			flags[f.Name] = []string{f.Value.String()}
		}
	})
	return flags
}

// conclude closes the journal and says how the run goes on, where something is left.
func (r *recording) conclude(env *Env, run error) error {
	if r.journal == nil {
		return nil
	}
	how := whole
	if run != nil {
		how = "not complete: " + run.Error()
	}
	err := errors.Join(r.journal.End(how), r.journal.Close())
	var file *journal.Error
	if errors.As(run, &file) { // it cannot be written any more, as the run has told
		err = nil
	}
	if run != nil {
		env.note("to go on: cachectl %s --resume=%s%s", r.state.Command, r.journal.Path(), r.again)
	}
	prune(filepath.Dir(r.journal.Path()), env.Now())
	return err
}

const journalSuffix = ".journal"

// Journals of complete runs are kept for a while, to look things up in.
const (
	journalAge = 30 * 24 * time.Hour
	journalsOf = 100
)

// prune removes old journals of complete runs from the state folder.
func prune(dir string, now time.Time) {
	if filepath.Base(dir) != "journal" || filepath.Base(filepath.Dir(dir)) != "cachectl" {
		return // a folder of the user's own
	}
	all := journals(dir)
	for i, path := range all {
		info, err := os.Stat(path)
		old := err == nil && (now.Sub(info.ModTime()) > journalAge || i >= journalsOf)
		if !old {
			continue
		}
		if s, err := journal.Read(path); err == nil && s.Ended == whole {
			os.Remove(path)
		}
	}
}

// journals lists those of a folder, the newest first: their names begin alike and
// hold the time.
func journals(dir string) []string {
	all, _ := filepath.Glob(filepath.Join(dir, "*"+journalSuffix))
	slices.SortFunc(all, func(a, b string) int { return strings.Compare(stamp(b), stamp(a)) })
	return all
}

func stamp(path string) string {
	_, stamp, _ := strings.Cut(filepath.Base(path), "-")
	return stamp
}

// newestJournal finds the newest run of a command that did not end.
func newestJournal(env *Env, command string) (string, error) {
	dir, err := stateFolder(env)
	if err != nil {
		return "", err
	}
	for _, path := range journals(filepath.Join(dir, "journal")) {
		if s, err := journal.Read(path); err == nil && s.Command == command && s.Ended != whole {
			return path, nil
		}
	}
	return "", withHint(usagef("no run of %s is left unfinished in %s", command, dir), "--resume=FILE names a journal elsewhere")
}

// stateFolder is the XDG place for what outlives a run.
func stateFolder(env *Env) (string, error) {
	if dir := env.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "cachectl"), nil
	}
	home := env.Getenv("HOME")
	if home == "" {
		return "", errors.New("neither HOME nor XDG_STATE_HOME is set")
	}
	return filepath.Join(home, ".local", "state", "cachectl"), nil
}
