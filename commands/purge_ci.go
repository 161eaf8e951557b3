package commands

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/cachectl/cachectl/commands/render"
)

// tellCI writes what came of a purge into the files that GitHub Actions reads
// after a step. That they cannot be written is no failure of the purge.
func (d *purged) tellCI(env *Env) {
	for name, text := range map[string]string{"GITHUB_OUTPUT": d.outputs(), "GITHUB_STEP_SUMMARY": d.summary()} {
		if path := env.Getenv(name); path != "" {
			if err := appendText(path, text); err != nil {
				env.warn("%s: %v", name, err)
			}
		}
	}
}

// appendText adds whole lines to a file, whatever its last line ends in.
func appendText(path, text string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	if end, err := f.Seek(0, io.SeekEnd); err == nil && end > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, end-1); err == nil && last[0] != '\n' {
			text = "\n" + text
		}
	}
	_, err = io.WriteString(f, text)
	return errors.Join(err, f.Close())
}

// mostTold bounds what goes into the files of CI, which have limits of their own.
const mostTold = 100

// outputs are the step's outputs: purge_ids, one a line; purged and failed, counts;
// failed_items, a JSON list of the first hundred; journal.
func (d *purged) outputs() string {
	var ids []string
	for _, r := range d.receipts {
		if r.ID != "" && !slices.Contains(ids, r.ID) {
			ids = append(ids, r.ID)
		}
	}
	failed := d.failedItems()
	list, err := json.Marshal(failed[:min(len(failed), mostTold)])
	if err != nil {
		list = []byte("[]")
	}
	return githubOutput("purge_ids", strings.Join(ids, "\n")) +
		githubOutput("purged", fmt.Sprint(d.purged)) +
		githubOutput("failed", fmt.Sprint(d.unpurged())) +
		githubOutput("failed_items", string(list)) +
		githubOutput("journal", d.job.path)
}

// githubOutput writes one output so that nothing in its value can end it or
// begin another: the value stands between two lines that nobody can guess.
func githubOutput(name, value string) string {
	mark := "cachectl_" + rand.Text()
	return name + "<<" + mark + "\n" + value + "\n" + mark + "\n"
}

// summary is the step's summary, in Markdown.
func (d *purged) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### Purge: %s purged", render.Int(int64(d.purged)).Text)
	if n := d.unpurged(); n > 0 {
		fmt.Fprintf(&b, ", %s not purged", render.Int(int64(n)).Text)
	}
	b.WriteString("\n\n")
	if len(d.receipts) > 0 {
		b.WriteString("| target | id | state | items |\n|---|---|---|---:|\n")
	}
	for n, r := range d.receipts {
		if n == mostTold {
			fmt.Fprintf(&b, "\n%d calls more\n", len(d.receipts)-n)
			break
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d |\n", markdownText(r.Target), markdownText(r.ID), markdownText(string(r.State)), len(r.Items))
	}
	n := 0
	for _, o := range d.failed {
		for _, i := range o.Items {
			if n++; n == 1 {
				b.WriteString("\n| not purged | why |\n|---|---|\n")
			}
			if n <= mostTold {
				fmt.Fprintf(&b, "| %s | %s |\n", markdownText(i.String()), markdownText(o.Err.Error()))
			}
		}
	}
	if n > mostTold {
		fmt.Fprintf(&b, "\n%d items more\n", n-mostTold)
	}
	b.WriteString("\n")
	return b.String()
}

// markdownText is text that Markdown takes for nothing else: whatever could be
// markup is written by its number.
func markdownText(text string) string {
	var b strings.Builder
	for _, c := range render.Visible(text) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == ' ', c == '/', c == ',', c >= 0x80:
			b.WriteRune(c)
		default:
			fmt.Fprintf(&b, "&#%d;", c)
		}
	}
	return b.String()
}
