package commands

import (
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

// An auditLine is what is remembered of a run that changed a cache: who, when, where,
// what, and what came of it. A run that was killed leaves none: that of the run which goes
// on with it has the counts of both.
type auditLine struct {
	Time      time.Time           `json:"time"`
	User      string              `json:"user,omitempty"`
	Command   string              `json:"command"`
	Target    string              `json:"target"` // without secrets
	Context   string              `json:"context,omitempty"`
	File      string              `json:"file,omitempty"` // that was restored
	Patterns  []string            `json:"patterns,omitempty"`
	Flags     map[string][]string `json:"flags,omitempty"`
	Counts    map[string]int64    `json:"counts"`
	Seconds   float64             `json:"seconds"`
	Journal   string              `json:"journal,omitempty"`
	Ended     string              `json:"ended"`               // "complete", or the error
	Continues bool                `json:"continues,omitempty"` // it went on with an earlier run, whose counts are in it
}

// audit appends a line to the state folder. That it cannot is told, and is no reason to
// fail a run that is over.
func (o *bulk) audit(cmd *cobra.Command, env *Env, t *target, patterns []string, took time.Duration, run error) {
	line := auditLine{
		Command: commandName(cmd), Target: redacted(t.url), Context: t.context, Patterns: patterns, Flags: whatFlags(cmd),
		Counts: make(map[string]int64), Seconds: took.Seconds(), Journal: o.journal.Path(), Continues: o.resume != "",
	}
	for _, counts := range o.state.Counts {
		for did, n := range counts {
			line.Counts[string(did)] += n
		}
	}
	line.write(env, run)
}

// write completes the line by who ran it, when, and how it ended.
func (l auditLine) write(env *Env, run error) {
	dir, err := stateFolder(env)
	if err != nil {
		return // there is no place for it: the same was told of the journal
	}
	l.Time = env.Now().UTC()
	l.User = cmp.Or(env.Getenv("SUDO_USER"), env.Getenv("USER"), env.Getenv("LOGNAME"), env.Getenv("USERNAME"))
	l.Ended = whole
	if run != nil {
		l.Ended = run.Error()
	}
	data, err := json.Marshal(l)
	if err == nil {
		err = appendLine(filepath.Join(dir, "audit.ndjson"), append(data, '\n'))
	}
	if err != nil {
		env.warn("the audit line was not written: %v", err)
	}
}

// appendLine adds to a file in one write, so that lines of two runs do not mix.
func appendLine(path string, line []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(line)
	return errors.Join(err, f.Close())
}
