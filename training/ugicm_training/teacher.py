"""The names that the trainer still imports from here."""

from ugicm_training.teachers.protocol import Teacher
from ugicm_training.teachers.stand_in import StandIn as MobileNetTeacher

__all__ = ["MobileNetTeacher", "Teacher"]
