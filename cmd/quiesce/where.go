package main

import (
	"context"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// where is which cloud's account is meant, for the commands that know both.
type where struct {
	Cloud string `enum:"aws,aliyun" default:"aws" env:"QUIESCE_CLOUD" help:"Which cloud: aws or aliyun."`
	place

	AliyunRegion      string `env:"ALIBABA_CLOUD_REGION_ID,ALICLOUD_REGION" placeholder:"REGION" help:"Region on Alibaba Cloud."`
	AliyunKeyID       string `env:"ALIBABA_CLOUD_ACCESS_KEY_ID" placeholder:"ID" help:"Access key id; better from the environment."`
	AliyunKeySecret   string `env:"ALIBABA_CLOUD_ACCESS_KEY_SECRET" placeholder:"SECRET" help:"Access key secret; only from the environment, if others see your command line."`
	AliyunToken       string `env:"ALIBABA_CLOUD_SECURITY_TOKEN" placeholder:"TOKEN" help:"Security token of STS."`
	AliyunEndpointURL string `env:"QUIESCE_ENDPOINT" placeholder:"URL" help:"Another endpoint on Alibaba Cloud, such as an emulator's."`
}

// provider is Alibaba Cloud by the operator's own keys.
func (w where) provider() (*alicloud.Provider, error) {
	for _, f := range []struct{ flag, value string }{
		{"--aliyun-region", w.AliyunRegion}, {"--aliyun-key-id", w.AliyunKeyID}, {"--aliyun-key-secret", w.AliyunKeySecret},
	} {
		if f.value == "" {
			return nil, fault.Input(f.flag, "is missing")
		}
	}
	return alibaba{w.AliyunRegion, w.AliyunKeyID, w.AliyunKeySecret, w.AliyunToken, w.AliyunEndpointURL}.provider(), nil
}

// keeper is the account's store of sets, by the operator's own credentials.
func (w where) keeper(ctx context.Context) (cloud.Keeper, error) {
	if w.Cloud == run.Aliyun {
		return w.provider()
	}
	return w.place.keeper(ctx)
}
