package commands

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/purge"
)

// purgeFolder is where journals of purges are.
func purgeFolder(env *Env) (string, error) {
	dir, err := stateFolder(env)
	return filepath.Join(dir, "purge"), err
}

// journalName sorts by time, and tells whose journal it is.
func journalName(env *Env, c *cdn) string {
	return fmt.Sprintf("%s-%s-%s-%s.ndjson", env.Now().UTC().Format("20060102T150405.000Z"), c.Provider, c.name, rand.Text()[:6])
}

// record opens the journal of a new run. Without a place for it the run goes on,
// which is told; a file that was asked for is insisted on.
func (j *purgeJob) record(env *Env, file string) error {
	if file == "none" {
		return nil
	}
	j.keep = file != ""
	err := error(nil)
	if j.path = file; file == "" {
		var dir string
		if dir, err = purgeFolder(env); err == nil {
			err = os.MkdirAll(dir, 0o700)
			j.path = filepath.Join(dir, journalName(env, j.cdn))
		}
	}
	if err == nil {
		if j.journal, err = purge.CreateJournal(j.path, j.key, j.calls); err == nil {
			if j.release, err = lockFile(j.path); err != nil {
				j.journal.Close()
			}
		}
	}
	if err != nil && !j.keep {
		env.warn("no journal, so this run cannot be resumed: %v", err)
		j.path, j.journal, err = "", nil, nil
	}
	return err
}

// close ends the journal; one that has nothing left to tell goes.
func (j *purgeJob) close(done bool) error {
	err := j.journal.Close()
	if done && !j.keep {
		err = errors.Join(err, os.Remove(j.path))
		j.path = ""
	}
	j.release()
	return err
}

// resumeLine is the command that goes on with the journal. A token has no flag,
// so none of this is secret.
func (j *purgeJob) resumeLine() string {
	words := []string{"cachectl", "purge"}
	if j.cdn.name != "" {
		words = append(words, j.cdn.name)
	} else {
		words = append(words, j.cdn.Provider)
		settings := reflect.ValueOf(j.cdn).Elem()
		for n := range settings.NumField() {
			key, _, _ := strings.Cut(settings.Type().Field(n).Tag.Get("yaml"), ",")
			if slices.Contains([]string{"", "provider", "distribution", "zone", "host"}, key) {
				continue // the journal names the targets
			}
			values, _ := settings.Field(n).Interface().(some)
			if one, ok := settings.Field(n).Interface().(string); ok && one != "" {
				values = some{one}
			}
			for _, v := range values {
				words = append(words, "--"+strings.ReplaceAll(key, "_", "-"), v)
			}
		}
	}
	return shellWords(append(words, "--resume", j.path))
}

// goOn resumes a run: what its journal does not tell as purged is sent, under the
// same idempotency key.
func (o *purgeOptions) goOn(cmd *cobra.Command, env *Env, ro render.Options) error {
	ctx := cmd.Context()
	job := &purgeJob{env: env, cdn: &o.cdn, resumed: true}
	if err := o.openJournal(env, job); err != nil {
		return err
	}
	defer func() { // where it was not closed in good order
		if job.journal != nil && job.path != "" {
			job.journal.Close()
			job.release()
		}
	}()
	if err := o.planRest(ctx, env, job); err != nil {
		return err
	}
	if o.dryRun {
		return o.show(env, ro, job)
	}
	if len(job.calls) == 0 {
		env.note("%s: nothing is left to purge", job.path)
	} else if err := o.approve(ctx, env, job); err != nil {
		return err
	}
	if err := o.verify.before(ctx, env); err != nil {
		return err
	}
	return o.carryOut(cmd, env, ro, job)
}

// openJournal finds and locks the journal, and leaves it open in job.
func (o *purgeOptions) openJournal(env *Env, job *purgeJob) (err error) {
	dir, noDir := purgeFolder(env)
	if o.resume == newest {
		if noDir != nil {
			return withHint(usagef("no journal: %w", noDir), "--resume FILE names one")
		}
		names, err := filepath.Glob(filepath.Join(dir, "*-"+o.cdn.Provider+"-"+o.cdn.name+"-??????.ndjson"))
		slices.Sort(names)
		for _, name := range slices.Backward(names) {
			if err = job.take(name); err == nil && len(job.journal.Pending()) > 0 {
				env.note("goes on with %s", name)
				return nil
			} else if err == nil {
				job.journal.Close()
				job.release()
			}
		}
		return errors.Join(err, withHint(usagef("no unfinished purge in %s", dir), "--resume FILE names a journal that is elsewhere"))
	}
	job.keep = noDir != nil || filepath.Dir(o.resume) != dir
	return job.take(o.resume)
}

// take locks and opens one journal.
func (j *purgeJob) take(path string) (err error) {
	if j.release, err = lockFile(path); err != nil {
		return err
	}
	if j.journal, err = purge.OpenJournal(path); err != nil {
		j.release()
		return err
	}
	j.path = path
	return nil
}

// planRest is the plan of what a journal has left.
func (o *purgeOptions) planRest(ctx context.Context, env *Env, job *purgeJob) error {
	pending := job.journal.Pending()
	job.key, job.keyOrigin, job.earlier = job.journal.Key, "the journal's", job.journal.Receipts()
	var targets []string
	var items []purge.Item
	see := func(target string) error {
		provider, rest, _ := strings.Cut(target, ":")
		if provider != o.cdn.Provider {
			return withHint(usagef("%s is the journal of %s", job.path, render.Visible(target)), "cachectl purge %s --resume", provider)
		}
		if !slices.Contains(targets, rest) {
			targets = append(targets, rest)
		}
		return nil
	}
	for _, c := range pending {
		if err := see(c.Target); err != nil {
			return err
		}
		items = append(items, c.Items...)
	}
	for _, r := range job.earlier {
		if err := see(r.Target); err != nil {
			return err
		}
	}
	o.adopt(targets)
	if len(*o.cdn.targets()) == 0 {
		return usagef("%s names no target", job.path)
	}
	var err error
	if job.purgers, err = o.cdn.open(ctx, env, kindsOf(items), o.batch); err != nil {
		return err
	}
	for _, p := range job.purgers {
		var mine []purge.Call
		var own []purge.Item
		for _, c := range pending {
			if c.Target == p.Name() {
				mine, own = append(mine, c), append(own, c.Items...)
			}
		}
		plan, err := p.Plan(own)
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name(), err)
		}
		plan.Calls, plan.Refused = mine, nil // they were planned once
		job.plans, job.calls = append(job.plans, plan), append(job.calls, mine...)
	}
	job.listed = job.items()
	if len(job.calls) < len(pending) {
		return withHint(usagef("%s purges %s, and other targets were named", job.path, strings.Join(targets, ", ")), "leave them out: the journal names its own")
	}
	return nil
}

// adopt takes the journal's targets where none is named.
func (o *purgeOptions) adopt(targets []string) {
	if len(*o.cdn.targets()) > 0 {
		return
	}
	for _, t := range targets {
		switch o.cdn.Provider {
		case "cloudflare":
			t, o.cdn.Environment, _ = strings.Cut(t, "/")
		case "varnish":
			t = "http://" + t
		}
		*o.cdn.targets() = append(*o.cdn.targets(), t)
	}
}
