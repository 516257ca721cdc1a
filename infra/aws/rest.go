package main

type alarm struct{}

func (d *deployment) makeNotifications() error { return nil }
func (d *deployment) makeSchedules() error     { return nil }
func (d *deployment) makeAlarms() error        { return nil }
func (d *deployment) makeDashboard() error     { return nil }
func (d *deployment) makeOutputs() error       { return nil }
