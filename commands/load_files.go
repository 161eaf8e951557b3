package commands

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/commands/render"
	"github.com/cachectl/cachectl/loadgen"
)

// openRun reads a file that --save wrote.
func openRun(path string) (*loadgen.Run, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	run, err := loadgen.ReadRun(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return run, nil
}

// openRuns reads files of one kind.
func openRuns(paths []string) (all []*loadgen.Run, err error) {
	for i, path := range paths {
		run, err := openRun(path)
		if err != nil {
			return nil, err
		}
		if i > 0 && run.Kind != all[0].Kind {
			return nil, usagef("%s is a %s run, %s a %s run", paths[0], all[0].Kind, path, run.Kind)
		}
		all = append(all, run)
	}
	return all, nil
}

// strategiesOf are the reports of a stampede or of patterns.
func strategiesOf(run *loadgen.Run) (runs []strategyRun, err error) {
	for _, s := range run.Strategies {
		var saved savedStrategy
		if err := json.Unmarshal(s.Report, &saved); err != nil {
			return nil, fmt.Errorf("report of %s: %w", s.Strategy, err)
		}
		runs = append(runs, strategyRun{s.Strategy, &saved.Report, saved.Expected, saved.Invalid})
	}
	return runs, nil
}

type mergeOptions struct {
	output output
	gates  gates
	record runFlags
}

func newLoadMerge(env *Env) *cobra.Command {
	o := mergeOptions{}
	cmd := &cobra.Command{
		Use:   "merge FILE...",
		Short: "Add up the shards of a run, exactly",
		Long: `Add up saved runs that are the shards of one (--shard 1/3 to 3/3, the same seed and
traffic): counts are added, histograms are added bucket by bucket, and the seconds are put
beside each other by the clock, so the percentiles are those of all requests. What is not
a shard of the same run, or comes twice, is refused; which shards are missing is told.`,
		Example: `  cachectl load merge 1.run 2.run 3.run
  cachectl load merge *.run --save whole.run --fail-if 'p99 > 10ms'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, env, args) },
	}
	o.gates.add(cmd, "p99 > 10ms")
	o.record.add(cmd)
	o.output.add(cmd, columnNames(loadColumns)...)
	return describe(cmd, "", impactNone, exit{exitFailed, "failed: a file is torn or no run, or they are no shards of one run"}, exitsUsage, exitsCheck)
}

func (o *mergeOptions) run(cmd *cobra.Command, env *Env, paths []string) error {
	ro, err := o.output.options(cmd.Context(), env)
	if err != nil {
		return err
	}
	if err := o.gates.parse(loadgen.FigureNames()...); err != nil {
		return err
	}
	runs, err := openRuns(paths)
	if err != nil {
		return err
	}
	if runs[0].Kind != loadgen.LoadRun {
		return withHint(usagef("%s is a %s run: it has no shards", paths[0], runs[0].Kind), "runs of \"cachectl load\" can be merged")
	}
	var shards []*loadgen.Report
	for i, run := range runs {
		if len(run.Loads) != 1 {
			return usagef("%s holds runs against two caches", paths[i])
		}
		shards = append(shards, run.Loads[0])
	}
	whole, err := loadgen.Merge(shards...)
	if err != nil {
		return err
	}
	l := loadOptions{output: o.output, gates: o.gates, record: o.record}
	return l.conclude(env, ro, []*loadgen.Report{whole})
}

type compareOptions struct {
	output output
	html   string
}

func newLoadCompare(env *Env) *cobra.Command {
	o := compareOptions{}
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Saved runs side by side, each difference with its interval",
		Long: `Put two saved runs, or several of either side, side by side: for each figure its value in A and in B, the difference in
percent, and the 95 % interval of that. "~" says that the difference is noise: the
interval holds no difference at all.

The samples are the runs' seconds, in blocks, because neighbouring seconds are alike;
a run needs enough of them, and is told where it has not. What differs from run to run is
not in such intervals: with four runs a side or more, the runs are the samples. A side is
a file, several joined by commas, or a pattern in quotes.`,
		Example: `  cachectl load compare before.run after.run
  cachectl load compare redis.run valkey.run -o markdown
  cachectl load compare 'before-*.run' 'after-*.run' --html compare.html`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, env, args) },
	}
	cmd.Flags().StringVar(&o.html, "html", "", "write a page with charts to a `file`")
	cmd.MarkFlagFilename("html")
	o.output.add(cmd)
	return describe(cmd, "", impactNone, exit{exitFailed, "failed: a file is torn or no run"}, exitsUsage)
}

func (o *compareOptions) run(cmd *cobra.Command, env *Env, paths []string) error {
	ro, err := o.output.options(cmd.Context(), env)
	if err != nil {
		return err
	}
	a, err := openSide(paths[0])
	if err != nil {
		return err
	}
	b, err := openSide(paths[1])
	if err != nil {
		return err
	}
	doc, err := comparisonDoc(a, b)
	if err != nil {
		return err
	}
	if err := o.output.print(env, ro, doc); err != nil || o.html == "" {
		return err
	}
	page, err := comparisonPage(pageFoot(env), a, b)
	if err != nil {
		return err
	}
	return replaceFile(o.html, 0o666, func(w io.Writer) error { return page.Write(w) })
}

// openSide reads the runs of one side: files by commas, or by a pattern.
func openSide(text string) (reports []*loadgen.Report, err error) {
	var paths []string
	for part := range strings.SplitSeq(text, ",") {
		found, err := filepath.Glob(part)
		if err != nil || len(found) == 0 {
			found = []string{part}
		}
		paths = append(paths, found...)
	}
	for _, path := range paths {
		run, err := openRun(path)
		switch {
		case err != nil:
			return nil, err
		case run.Kind != loadgen.LoadRun:
			return nil, withHint(usagef("%s is a %s run", path, run.Kind), "strategies are compared within a run, by --compare; runs of \"cachectl load\" with each other")
		}
		reports = append(reports, run.Loads...)
	}
	return reports, nil
}

type showOptions struct {
	output output
	gates  gates
	record runFlags
}

func newLoadShow(env *Env) *cobra.Command {
	o := showOptions{}
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "A saved run again, in any format",
		Long:  `Show what a saved run measured, as a table, in any other format, or as a page with charts.`,
		Example: `  cachectl load show before.run
  cachectl load show before.run -o json --jq .p99_ms`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, env, args[0]) },
	}
	o.gates.add(cmd, "p99 > 10ms")
	o.record.add(cmd)
	o.output.add(cmd, eitherColumns()...)
	return describe(cmd, "", impactNone, exit{exitFailed, "failed: the file is torn or no run"}, exitsUsage, exitsCheck)
}

func (o *showOptions) run(cmd *cobra.Command, env *Env, path string) error {
	ro, err := o.output.options(cmd.Context(), env)
	if err != nil {
		return err
	}
	run, err := openRun(path)
	if err != nil {
		return err
	}
	if run.Kind == loadgen.LoadRun {
		if err := o.gates.parse(loadgen.FigureNames()...); err != nil {
			return err
		}
		l := loadOptions{output: o.output, gates: o.gates, record: o.record}
		return l.conclude(env, ro, run.Loads)
	}
	runs, err := strategiesOf(run)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	title, make, fields, figures := "Patterns", patternDoc, patternFields, patternFigures
	if runs[0].expected != nil {
		title, make, fields, figures = "Stampede", stampedeDoc, stampedeFields, stampedeFigures
	}
	doc := make(runs)
	if err := o.gates.parse(fields...); err != nil {
		return err
	}
	warnInvalid(env, &o.output, ro, runs)
	return errors.Join(o.output.print(env, ro, doc),
		o.record.save(func() (*loadgen.Run, error) { return run, nil }, func() render.Page { return experimentPage(env, title, doc, runs) }),
		judged(&o.gates, runs, figures))
}
