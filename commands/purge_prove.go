package commands

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/analyze/httpcache"
	"github.com/cachectl/cachectl/commands/render"
)

// purgeVerify is --verify: URLs that are asked for before the purge and after it.
type purgeVerify struct {
	urls       []string
	headers    []string
	timeoutRaw string

	asker *verification
	shots []purgeSnapshot
	found []verified
}

func (v *purgeVerify) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&v.urls, "verify", nil, "ask for this `URL` before and after, and fail (3) without evidence that it is not the old one; may be repeated")
	f.StringArrayVar(&v.headers, "verify-header", nil, "a request header, `NAME: VALUE`, of these questions; may be repeated")
	f.StringVar(&v.timeoutRaw, "verify-timeout", "1m", "how long --verify looks for evidence")
}

func (v *purgeVerify) parse() error {
	if len(v.urls) == 0 {
		if len(v.headers) > 0 {
			return usagef("--verify-header goes with --verify")
		}
		return nil
	}
	_, err := v.verification(nil)
	return err
}

func (v *purgeVerify) verification(env *Env) (*verification, error) {
	header, err := parseVerifyHeaders(v.headers)
	if err != nil {
		return nil, err
	}
	timeout, err := parseDuration(v.timeoutRaw)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--verify-timeout: %w", err)}
	}
	if env == nil {
		return nil, nil
	}
	return newVerification(env, header, timeout), nil
}

// before asks for the URLs as they are.
func (v *purgeVerify) before(ctx context.Context, env *Env) (err error) {
	if len(v.urls) == 0 {
		return nil
	}
	if v.asker, err = v.verification(env); err == nil {
		v.shots, err = v.asker.snapshot(ctx, v.urls)
	}
	return err
}

// after asks again until there is evidence. The error is a check that did not
// hold; one that was interrupted says nothing.
func (v *purgeVerify) after(ctx context.Context, env *Env, purged time.Time) (err error) {
	if v.asker == nil || ctx.Err() != nil {
		return nil
	}
	v.found, err = v.asker.check(ctx, v.shots, purged)
	if err == nil {
		env.note("verified %s: %s", verifyScope, plural(int64(len(v.found)), "URL"))
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (v *purgeVerify) close() {
	if v.asker != nil {
		v.asker.close()
	}
}

// print prints the answer, with what was verified: for people a table of its own,
// for programs a list in the document.
func (o *purgeOptions) print(env *Env, ro render.Options, doc render.Doc) error {
	found := o.verify.found
	if len(found) == 0 {
		return o.output.print(env, ro, doc)
	}
	var all []any
	var table []render.Row
	fresh := 0
	for _, u := range found {
		all = append(all, map[string]any{"url": u.url, "verdict": string(u.finding.Verdict), "evidence": strings.Join(u.finding.Evidence, "; "),
			"before": u.before, "after": u.after, "tries": int64(u.tries)})
		table = append(table, u.row())
		if u.finding.Verdict == httpcache.Fresh {
			fresh++
		}
	}
	doc.Fields = append(doc.Fields, render.Field{Name: "verified", Cell: render.Cell{Value: all}, Machine: true},
		render.Field{Name: "verified_urls", Cell: render.Int(int64(fresh)), Machine: true,
			Metric: &render.Metric{Name: "cachectl_purge_verified_urls", Help: "URLs with evidence that the purge took effect", Type: "gauge"}})
	return o.output.render(env, ro, func(w *render.Writer) error {
		err := w.Write(doc)
		if !machine(ro.Format) && ro.Format != render.Prom && len(ro.Columns) == 0 {
			err = errors.Join(err, w.Write(render.Doc{Columns: verifiedColumns, Rows: rows(table)}))
		}
		return err
	})
}
