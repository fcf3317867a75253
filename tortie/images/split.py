from dataclasses import dataclass
from typing import NamedTuple
import numpy as np
class SplitRow(NamedTuple):
    path: object; label: str; split: str; group: object
@dataclass
class Protocol:
    splits: list
    groups: list
    on: str
    notes: tuple = ()
    leaks: tuple = ()
    def positions(self, s): return np.array([i for i,x in enumerate(self.splits) if x==s],dtype=np.int64)
def folds(labels, keys, groups, count, seed):
    out=np.zeros(len(labels),np.int64); seen={}
    for i,l in enumerate(labels):
        out[i]=seen.get(l,0)%count; seen[l]=seen.get(l,0)+1
    return out
def enough_to_score(l, on): return None
def expected_protocol(given, v, t): return ("validation","rule")
def plan_split(labels,keys,groups,given,valid,test,seed):
    if any(given): return Protocol(given,groups,"test" if "test" in given else "validation")
    return Protocol(["train"]*len(labels),groups,"cross-validation")
def write_split(path, rows): pass
