// Command aws is the CDK app: it writes the CloudFormation template of a whole
// deployment into cdk.out. The CLI runs it (`make synth`, `make deploy`); it
// needs no account for that. README.md lists the context that it reads.
package main

import (
	"fmt"
	"os"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

func main() {
	if err := synth(); err != nil {
		fmt.Fprintln(os.Stderr, "quiesce:", err)
		os.Exit(1)
	}
}

func synth() error {
	defer jsii.Close()
	app := awscdk.NewApp(nil)
	config, err := fromContext(app.Node(), "dist")
	if err != nil {
		return err
	}
	if _, err := newDeployment(app, config); err != nil {
		return err
	}
	app.Synth(nil)
	return nil
}
