"""The order of work: which runs a tier has, what each file is made from. The top floor: nothing of ours imports it."""
