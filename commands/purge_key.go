package commands

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/purge"
)

// An idempotency key makes a repeated purge the same purge: CloudFront then
// answers with the earlier invalidation, and takes no second payment.
type idempotency struct{ given string }

func (i *idempotency) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&i.given, "idempotency-key", "", "a `KEY` that a repeat of this purge, and no other, has; default: the CI run's step, else a random one")
}

// ciRuns are the variables by which CI systems name a run and the step in it.
// None of them counts attempts: to run a step again is to purge the same again. A
// variable that differs only makes a repeat be paid twice; one that is missing
// would swallow the purge of another step.
var ciRuns = []struct {
	name  string
	id    string   // names the run; if it is set, this is the system
	parts []string // what else the step's name is made of
}{
	{"github", "GITHUB_RUN_ID", []string{"GITHUB_REPOSITORY", "GITHUB_JOB", "GITHUB_ACTION"}},
	{"gitlab", "CI_PIPELINE_ID", []string{"CI_PROJECT_PATH", "CI_JOB_NAME"}},
	{"buildkite", "BUILDKITE_BUILD_ID", []string{"BUILDKITE_STEP_ID"}},
	{"circleci", "CIRCLE_WORKFLOW_ID", []string{"CIRCLE_JOB", "CIRCLE_NODE_INDEX"}},
	{"azure", "BUILD_BUILDID", []string{"SYSTEM_TEAMPROJECT", "SYSTEM_STAGENAME", "SYSTEM_JOBNAME", "SYSTEM_TASKINSTANCENAME"}},
	{"bitbucket", "BITBUCKET_BUILD_NUMBER", []string{"BITBUCKET_REPO_FULL_NAME", "BITBUCKET_STEP_UUID"}},
	{"drone", "DRONE_BUILD_NUMBER", []string{"DRONE_REPO", "DRONE_STAGE_NAME", "DRONE_STEP_NAME"}},
	{"codebuild", "CODEBUILD_BUILD_ID", nil},
	{"jenkins", "BUILD_TAG", []string{"JENKINS_URL", "STAGE_NAME"}},
}

// key is the run's key, and where it comes from; "" where it is random.
func (i *idempotency) key(env *Env) (key, origin string) {
	if i.given != "" {
		return i.given, "flag --idempotency-key"
	}
	for _, ci := range ciRuns {
		id := env.Getenv(ci.id)
		if id == "" {
			continue
		}
		words := []string{ci.name, id}
		for _, part := range ci.parts {
			words = append(words, env.Getenv(part))
		}
		return strings.Join(words, "/"), "environment variable " + ci.id + ": the same in every attempt of this step"
	}
	return purge.NewKey(), ""
}
